"""An event as the alert that a person gets: tensors by onset, severity, schedule, sentence."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bifurk_service.detect.calibration import false_alarms_per_10000
from bifurk_service.detect.event import CRITICAL_KINDS, Event
from bifurk_service.detect.finding import Finding
from bifurk_service.detect.onset import by_onset, first_of, first_place, interval_of
from bifurk_service.detect.schedule import Schedule
from bifurk_service.detect.sentence import sentence
from bifurk_service.detect.story import Story
from bifurk_service.domain import AffectedTensor, Alert, Mark, Severity, TensorInfo

MOST_EVIDENCE: Final = 200
"""Findings an alert carries; the rest are counted."""
UNEXCUSED_KINDS: Final = CRITICAL_KINDS | {"frozen"}
"""Kinds that no change of the run's own makes less grave."""


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
    first, last = event.onset
    explained_by = explanation(event, schedule)
    spoken = [tensor for tensor in affected if event.statistic in tensor.statistics]
    score = max(tensor.score for tensor in spoken)
    story = Story(
        run=run,
        kind=event.kind,
        variant=event.variant,
        statistic=event.statistic,
        log_scale=event.spoken[0].log_scale,
        tensors=affected,
        tensor_count=len(tensors),
        onset_first_step=first,
        onset_last_step=last,
        detected_step=event.detected_step,
        first=first_place(affected),
        ratio=statistics.median(float(one.details.get("ratio", 1.0)) for one in event.spoken),
        also=_also(event),
        followers=event.follower_count,
        explained_by=explained_by,
        checkpoint=schedule.checkpoint_before(first),
    )
    return Alert(
        fingerprint=event.fingerprint,
        kind=event.kind,
        severity=severity_of(event, tensors, schedule),
        statistic=event.statistic,
        tensors=affected,
        detected_step=event.detected_step,
        detected_sequence=event.first_sequence,
        onset_first_step=first,
        onset_last_step=last,
        before=statistics.median(tensor.before for tensor in spoken),
        after=statistics.median(tensor.after for tensor in spoken),
        score=score,
        sentence=sentence(story),
        explained_by=explained_by,
        checkpoint=story.checkpoint,
        evidence=_evidence(event, tensors, detector),
        parent=event.parent,
        false_alarms_per_10000=false_alarms_per_10000(event.kind, score),
    )


def explanation(event: Event, schedule: Schedule) -> tuple[Mark, ...]:
    """The run's own changes about the time at which an event began."""
    first, last = event.onset
    return schedule.explain(onset_first_step=first, onset_last_step=last)


def severity_of(event: Event, tensors: Sequence[TensorInfo], schedule: Schedule) -> Severity:
    """How grave an event is, given what the run did of its own accord."""
    severity = event.severity(tensors)
    if event.kind not in UNEXCUSED_KINDS and severity is not Severity.INFO:
        explained_by = explanation(event, schedule)
        if schedule.accounts_for(explained_by, responses(event)):
            return Severity.INFO
    return severity


def responses(event: Event) -> dict[str, float]:
    """By statistic, the size of the largest change that an event names."""
    found: dict[str, float] = defaultdict(float)
    for finding in event.findings:
        found[finding.statistic] = max(found[finding.statistic], finding.response)
    return dict(found)


def _affected(event: Event, tensors: Sequence[TensorInfo]) -> tuple[AffectedTensor, ...]:
    by_tensor: dict[int, list[Finding]] = defaultdict(list)
    for finding in event.findings:
        by_tensor[finding.tensor].append(finding)
    affected = [
        _one(tensors[tensor], findings, event.statistic) for tensor, findings in by_tensor.items()
    ]
    return tuple(sorted(affected, key=_order))


def _order(one: AffectedTensor) -> tuple[int, int, int]:
    return (*by_onset((one.onset_first_step, one.onset_last_step)), one.tensor.id)


def _one(tensor: TensorInfo, findings: Sequence[Finding], statistic: str) -> AffectedTensor:
    """One tensor of an event; it began with its first statistic, where one is known to be first."""
    earliest: dict[str, Finding] = {}
    for finding in findings:
        earliest.setdefault(finding.statistic, finding)
    intervals = {name: finding.onset for name, finding in earliest.items()}
    spoken = earliest.get(statistic, findings[0])
    first, last = interval_of(intervals, statistic)
    branch = spoken.details.get("branch")
    return AffectedTensor(
        tensor=tensor,
        statistics=tuple(sorted(intervals, key=lambda name: by_onset(intervals[name]))),
        onset_first_step=first,
        onset_last_step=last,
        before=spoken.before,
        after=spoken.after,
        score=spoken.score,
        first_statistic=first_of(intervals),
        branch=None if branch is None else int(branch),
    )


def _also(event: Event) -> tuple[str, ...]:
    named = (finding.statistic for finding in event.findings)
    return tuple(name for name in dict.fromkeys(named) if name != event.statistic)


def _evidence(
    event: Event, tensors: Sequence[TensorInfo], detector: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        **detector,
        "rule": event.rule,
        "detections": _seen(event.findings[:MOST_EVIDENCE], tensors),
        "detection_count": len(event.findings),
        "followers": _seen(event.followers[:MOST_EVIDENCE], tensors),
        "follower_count": event.follower_count,
    }


def _seen(findings: Iterable[Finding], tensors: Sequence[TensorInfo]) -> list[dict[str, Any]]:
    return [
        {
            **finding.as_json(),
            "tensor": tensors[finding.tensor].id,
            "name": tensors[finding.tensor].name,
        }
        for finding in findings
    ]
