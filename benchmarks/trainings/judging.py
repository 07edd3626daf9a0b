"""Recorded runs under the detectors of this tree: what would have been told, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from bifurk_service.detect.judge import Judge
from bifurk_service.domain import AffectedTensor, Alert, Severity

from .families import Training
from .recording import RecordedAttempt, Recording

WINDOW: Final = 10
"""Steps whose mean loss is told; single batches differ by a few tenths."""
NAMED_TENSORS: Final = 8
"""Tensors an alert is kept with by name; of all of them the layers and the number are kept."""
TURNING_POINT: Final = "turning_point"
FALL: Final = "output.weight: stable_rank falls"

Json = dict[str, Any]


def judged(training: Training, recording: Recording) -> Json:
    """One run's document: its losses, and the alerts of all its attempts.

    Alerts of warning and more are kept whole, those of info as numbers a kind.
    """
    alerts = [
        {"attempt": index, **alert, "loss": _loss(recording, alert["step"])}
        for index, attempt in enumerate(recording.attempts)
        for alert in _alerts(training.name, attempt)
    ]
    info = Counter(alert["kind"] for alert in alerts if alert["severity"] == Severity.INFO)
    return {
        "name": training.name,
        "family": training.family.name,
        "seed": training.seed,
        "snapshots": [len(attempt.clocks) for attempt in recording.attempts],
        "loss": _losses(training, recording),
        "generalised_step": _generalised_step(recording),
        "fall_step": _fall_step(alerts) if training.family.model == "modular" else None,
        "alerts": [alert for alert in alerts if alert["severity"] != Severity.INFO],
        "info": dict(sorted(info.items())),
    }


def _alerts(run: str, attempt: RecordedAttempt) -> list[Json]:
    """Alerts as they stand at the end, each with the step at which it had become this grave."""
    judge = Judge(run)
    told: dict[str, Json] = {}
    for clock, tensors, values in attempt:
        valid = {name: np.isfinite(series) for name, series in values.items()}
        for alert in judge.update(clock, tensors, values, valid).alerts:
            before = told.get(alert.fingerprint)
            told[alert.fingerprint] = _described(alert, clock.step, before)
    return sorted(told.values(), key=lambda alert: alert["step"])


def _described(alert: Alert, step: int, before: Json | None) -> Json:
    """``step`` is when it was first told as something to act on, or first of all if never."""
    grave = alert.severity is not Severity.INFO
    known = before is not None and (before["severity"] != Severity.INFO or not grave)
    severities = [alert.severity, *([Severity(before["severity"])] if before else [])]
    return {
        "kind": alert.kind,
        "severity": max(severities, key=lambda severity: severity.rank).value,
        "statistic": alert.statistic,
        "step": before["step"] if before is not None and known else step,
        "onset": [alert.onset_first_step, alert.onset_last_step],
        "layers": _distinct(_place(affected.tensor.layer) for affected in alert.tensors),
        "tensors": len(alert.tensors),
        "named": [_named(affected, alert.kind) for affected in alert.tensors[:NAMED_TENSORS]],
        "score": round(alert.score, 2),
        "explained_by": _distinct(mark.kind for mark in alert.explained_by),
        "parent": alert.parent,
        "sentence": alert.sentence,
    }


def _place(layer: int | None) -> int | str:
    return "none" if layer is None else layer


def _named(affected: AffectedTensor, kind: str) -> str:
    """The tensor and what moved; of a turning point also which way."""
    moved = ", ".join(affected.statistics)
    way = " falls" if affected.after < affected.before else " rises"
    return f"{affected.tensor.name}: {moved}{way if kind == TURNING_POINT else ''}"


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _losses(training: Training, recording: Recording) -> Json:
    """Losses around what happens; ``doubled_step``: weights after so many steps gave twice it."""
    losses, event = recording.losses, training.family.event_step
    told: Json = {"last": _rounded(losses[-WINDOW:].mean())}
    if event is None:
        return told
    before = losses[event - 1 - WINDOW : event - 1].mean()
    doubled = np.flatnonzero(losses[event:] >= 2 * before)
    return {
        "before": _rounded(before),
        "highest": _rounded(losses[event:].max()),
        "doubled_step": int(doubled[0]) + event if len(doubled) else None,
        **told,
    }


def _loss(recording: Recording, step: int) -> float:
    """Mean of the losses of the last steps that a person had seen when the alert came."""
    return _rounded(recording.losses[max(0, step - WINDOW) : max(step, 1)].mean())


def _generalised_step(recording: Recording) -> int | None:
    return next((step for step, share in recording.accuracy if share >= 0.5), None)


def _fall_step(alerts: list[Json]) -> int | None:
    """When a fall of the output layer's stable rank was first told, whatever its severity."""
    return next((alert["step"] for alert in alerts if FALL in alert["named"]), None)


def _rounded(value: float) -> float:
    return round(float(value), 3)
