"""What belongs to a shift that is being told already, and what is another."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Final

from bifurk_service.detect.agreement import (
    AGREEMENT_SNAPSHOTS,
    Agreement,
    Rule,
    aspect_of,
    is_near,
)
from bifurk_service.detect.event import Event, unseen
from bifurk_service.detect.finding import Finding
from bifurk_service.domain import TensorInfo

LATER_SNAPSHOTS: Final = 6
"""What began this long after an event is no part of it, if other layers bear witness to it."""


def is_another(event: Event, agreement: Agreement, tensors: Sequence[TensorInfo]) -> bool:
    """Whether what agreed is unrelated to an event of its kind that is being told.

    It is when it lies in other tensors and other layers, began clearly later, and neither is a
    matter of the whole model.
    """
    places = {finding.tensor for finding in agreement.findings}
    if agreement.rule is Rule.POPULATION or event.is_population(len(tensors)):
        return False
    if places & event.named or _layers(places, tensors) & _layers(event.named, tensors):
        return False
    began = min(finding.onset_first_step for finding in agreement.findings)
    later = _began(agreement.findings) - _began(event.spoken)
    return later >= LATER_SNAPSHOTS and began >= event.onset[1]


def join(
    events: Sequence[Event],
    recent: Sequence[Finding],
    agreed: Sequence[Agreement],
    *,
    sequence: int,
    tensors: Sequence[TensorInfo],
) -> list[Event]:
    """Adds a kind's findings to its open events; returns those that have grown.

    Who agrees at the time is named; who comes later, or otherwise, follows the newest event.

    Args:
        events: the open ones, at least one, in order of their beginning.
        recent: findings of the kind, in order of detection.
        agreed: what agrees at this snapshot.
    """
    sizes = [_size(event) for event in events]
    near = [finding for finding in recent if is_near(finding, sequence)]
    for event in events:
        if sequence - event.first_sequence < AGREEMENT_SNAPSHOTS:
            _name(event, near, agreed, tensors)
        named, others = event.named, unseen(near, _all(events))
        event.findings += [finding for finding in others if finding.tensor in named]
        event.followers = [one for one in event.followers if one.tensor not in named]
    events[-1].followers += unseen(near, _all(events))
    return [event for event, size in zip(events, sizes, strict=True) if _size(event) > size]


def _name(
    event: Event,
    near: Sequence[Finding],
    agreed: Sequence[Agreement],
    tensors: Sequence[TensorInfo],
) -> None:
    for agreement in agreed:
        together = agreement.aspect == event.aspect and agreement.rule is not Rule.TENSOR
        if together and not is_another(event, agreement, tensors):
            event.findings += unseen(agreement.findings, event.findings)
    layers = _layers(event.named, tensors) if event.rule == Rule.LAYER else set()
    event.findings += [
        finding
        for finding in unseen(near, event.findings)
        if aspect_of(finding.statistic) == event.aspect and tensors[finding.tensor].layer in layers
    ]


def _began(findings: Sequence[Finding]) -> float:
    return statistics.median(finding.onset_sequence for finding in findings)


def _layers(places: Iterable[int], tensors: Sequence[TensorInfo]) -> set[int]:
    layers = {tensors[place].layer for place in places}
    return {layer for layer in layers if layer is not None}


def _all(events: Iterable[Event]) -> list[Finding]:
    return [finding for event in events for finding in (*event.findings, *event.followers)]


def _size(event: Event) -> int:
    return len(event.findings) + len(event.followers)
