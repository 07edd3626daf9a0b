"""An event as the alert that a person gets: tensors by onset, severity, schedule, sentence."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from bifurk_service.detect.agreement import log_ratio
from bifurk_service.detect.event import Event
from bifurk_service.detect.finding import Finding
from bifurk_service.detect.schedule import Schedule, lowers_severity
from bifurk_service.detect.sentence import Story, sentence
from bifurk_service.domain import AffectedTensor, Alert, Severity, TensorInfo

MOST_EVIDENCE: Final = 200
"""Findings an alert carries; the rest are counted."""

Interval: TypeAlias = tuple[int, int]


def alert_of(
    event: Event,
    *,
    run: str,
    tensors: Sequence[TensorInfo],
    schedule: Schedule,
    detector: Mapping[str, Any],
) -> Alert:
    """The alert of an event as it stands now.

    Args:
        tensors: all of the model, in order.
        schedule: what the run did of its own accord.
        detector: kind, version and parameters, for the evidence.
    """
    affected = _affected(event, tensors)
    first, last = _onset(event)
    explained_by = schedule.explain(onset_first_step=first, onset_last_step=last)
    severity = event.severity(len(tensors))
    if event.kind == "regime_shift" and lowers_severity(
        explained_by, [log_ratio(finding) for finding in event.findings]
    ):
        severity = Severity.INFO
    story = Story(
        run=run,
        kind=event.kind,
        variant=event.variant,
        statistic=event.statistic,
        tensors=affected,
        tensor_count=len(tensors),
        onset_first_step=first,
        onset_last_step=last,
        detected_step=event.detected_step,
        first=_first(affected),
        also=_also(event),
        followers=len({finding.tensor for finding in event.followers}),
        explained_by=explained_by,
        checkpoint=schedule.checkpoint_before(first),
    )
    spoken = [tensor for tensor in affected if event.statistic in tensor.statistics]
    return Alert(
        fingerprint=event.fingerprint,
        kind=event.kind,
        severity=severity,
        statistic=event.statistic,
        tensors=affected,
        detected_step=event.detected_step,
        detected_sequence=event.first_sequence,
        onset_first_step=first,
        onset_last_step=last,
        before=statistics.median(tensor.before for tensor in spoken),
        after=statistics.median(tensor.after for tensor in spoken),
        score=max(tensor.score for tensor in spoken),
        sentence=sentence(story),
        explained_by=explained_by,
        checkpoint=story.checkpoint,
        evidence=_evidence(event, tensors, detector),
    )


def _affected(event: Event, tensors: Sequence[TensorInfo]) -> tuple[AffectedTensor, ...]:
    by_tensor: dict[int, list[Finding]] = defaultdict(list)
    for finding in event.findings:
        by_tensor[finding.tensor].append(finding)
    affected = [
        _one(tensors[tensor], findings, event.statistic) for tensor, findings in by_tensor.items()
    ]
    return tuple(
        sorted(affected, key=lambda t: (t.onset_first_step, t.onset_last_step, t.tensor.id))
    )


def _one(tensor: TensorInfo, findings: Sequence[Finding], statistic: str) -> AffectedTensor:
    spoken = next((found for found in findings if found.statistic == statistic), findings[0])
    return AffectedTensor(
        tensor=tensor,
        statistics=tuple(dict.fromkeys(finding.statistic for finding in findings)),
        onset_first_step=spoken.onset_first_step,
        onset_last_step=spoken.onset_last_step,
        before=spoken.before,
        after=spoken.after,
        score=spoken.score,
    )


def _onset(event: Event) -> Interval:
    """The interval in which most findings of the spoken statistic began, the earliest of equals."""
    intervals = Counter(
        (finding.onset_first_step, finding.onset_last_step)
        for finding in event.findings
        if finding.statistic == event.statistic
    )
    most = max(intervals.values())
    return min(interval for interval, count in intervals.items() if count == most)


def _first(affected: Sequence[AffectedTensor]) -> str | None:
    """The layer, or the tensor of a model without layers, that began before all others.

    A layer begins with the median of its tensors, so that one early finding makes no order.
    """
    groups: dict[str, list[Interval]] = defaultdict(list)
    for tensor in affected:
        layer = tensor.tensor.layer
        place = tensor.tensor.name if layer is None else f"layer {layer}"
        groups[place].append((tensor.onset_first_step, tensor.onset_last_step))
    if len(groups) < 2:
        return None
    begun = sorted((statistics.median_low(intervals), place) for place, intervals in groups.items())
    (_, earliest_last), place = begun[0]
    return place if earliest_last <= begun[1][0][0] else ""


def _also(event: Event) -> tuple[str, ...]:
    if event.kind != "regime_shift":
        return ()
    named = (finding.statistic for finding in event.findings)
    return tuple(name for name in dict.fromkeys(named) if name != event.statistic)


def _evidence(
    event: Event, tensors: Sequence[TensorInfo], detector: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        **detector,
        "rule": event.rule,
        "detections": [_seen(finding, tensors) for finding in event.findings[:MOST_EVIDENCE]],
        "detection_count": len(event.findings),
        "followers": [_seen(finding, tensors) for finding in event.followers[:MOST_EVIDENCE]],
        "follower_count": len({finding.tensor for finding in event.followers}),
    }


def _seen(finding: Finding, tensors: Sequence[TensorInfo]) -> dict[str, Any]:
    info = tensors[finding.tensor]
    return {**finding.as_json(), "tensor": info.id, "name": info.name}
