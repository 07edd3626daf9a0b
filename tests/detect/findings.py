"""Findings made up for the tests of agreement, merging and kinship."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bifurk_service.detect.event import Event
from bifurk_service.detect.finding import Finding
from bifurk_service.detect.kinship import gather
from bifurk_service.detect.merge import Merger
from bifurk_service.domain import TensorInfo
from bifurk_service.stats.registry import BY_NAME

STEPS = 10
"""Steps a snapshot."""

VARIANTS: dict[str, dict[str, str]] = {
    "spectral_outlier": {"direction": "appears"},
    "shape_change": {"from": "gaussian", "to": "flat"},
}
"""What findings of some kinds always tell."""


def finding(
    kind: str,
    tensor: int,
    statistic: str = "std",
    *,
    seen: int,
    began: int | None = None,
    after: float = 3.0,
    **details: Any,
) -> Finding:
    """Of one tensor, seen at one snapshot; it began at another, by default two earlier."""
    began = seen - 2 if began is None else began
    return Finding(
        kind=kind,
        statistic=statistic,
        tensor=tensor,
        log_scale=BY_NAME[statistic].log_scale,
        sequence=seen,
        step=STEPS * seen,
        onset_first_step=STEPS * (began - 1),
        onset_last_step=STEPS * began,
        before=1.0,
        after=after,
        score=1.5,
        details={"snapshots_since_onset": seen - began + 1, **VARIANTS.get(kind, {}), **details},
    )


def told(
    findings: Iterable[Finding], tensors: Sequence[TensorInfo], *, snapshots: int = 200
) -> tuple[list[Event], list[tuple[int, str]]]:
    """Every event as it stands in the end, by beginning; and when which fingerprint was told."""
    merger, events, reports = Merger("run"), dict[str, Event](), list[tuple[int, str]]()
    waiting = list(findings)
    for sequence in range(snapshots):
        fresh = [one for one in waiting if one.sequence == sequence]
        grown = merger.update(sequence, fresh, tensors)
        for event in gather(merger.events, grown, severity=lambda event: event.severity(tensors)):
            events[event.fingerprint] = event
            reports.append((sequence, event.fingerprint))
    return list(events.values()), reports
