"""The words of the service as frozen values; no I/O, no framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

LARGEST: Final = 2**63 - 1
"""What an integer column holds: no step, id or number goes beyond it."""


class Severity(StrEnum):
    """How much a person should care; ordered by ``rank``."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for critical."""
        return ("info", "warning", "critical").index(self.value)


class AlertState(StrEnum):
    """Where an alert is in its life."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class AttemptState(StrEnum):
    """How an attempt at a run stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """A tensor as detectors and alerts know it.

    Attributes:
        id: unique within the run; what REST paths use.
        layer: index of the repeated block, or None. role: of ``bifurk.layout.ROLES``.
    """

    id: int
    name: str
    layer: int | None
    role: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something the run did at a step, in the server's words."""

    kind: str
    step: int
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """When a snapshot was taken, and what the run itself did since the one before.

    Attributes:
        sequence: the grid's index of the snapshot, ascending, with gaps where snapshots were lost.
        step: the optimizer's step, ascending with the sequence.
        previous_step: step of the snapshot judged before, or None at the first.
        learning_rates: one a parameter group.
        marks: those with ``previous_step < step <= step`` of this snapshot.
    """

    sequence: int
    step: int
    previous_step: int | None
    learning_rates: tuple[float, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedTensor:
    """One tensor of an alert: which statistics moved and between which steps it began.

    Attributes:
        statistics: those that moved, the first to begin first.
        first_statistic: the one that began before all others; "" where that is not resolved.
        branch: of kinds that part tensors into groups, which group; None of others.
    """

    tensor: TensorInfo
    statistics: tuple[str, ...]
    onset_first_step: int
    onset_last_step: int
    before: float
    after: float
    score: float
    first_statistic: str = ""
    branch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What is told to a person. Immutable but for its state, which lives in the store.

    Attributes:
        fingerprint: the same for every report of the same event, within its run.
        statistic: the one the sentence speaks of. tensors: by order of onset.
        detected_step: step of the snapshot at which it was seen.
        onset_first_step, onset_last_step: it began in this interval.
        explained_by: changes of the user's own inside that interval; () when unannounced.
        checkpoint: the last one before the onset, with ``step`` and ``path``, or None.
        evidence: detector, version, parameters and what it saw.
        parent: fingerprint of the alert that this one is a part of; "" where it stands alone.
        false_alarms_per_10000: measured rate of alerts of this kind and score on series in which
            nothing happens, per 10,000 snapshots; None where it was not measured.
    """

    fingerprint: str
    kind: str
    severity: Severity
    statistic: str
    tensors: tuple[AffectedTensor, ...]
    detected_step: int
    detected_sequence: int
    onset_first_step: int
    onset_last_step: int
    before: float | None
    after: float | None
    score: float
    sentence: str
    explained_by: tuple[Mark, ...] = ()
    checkpoint: Mark | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""
    false_alarms_per_10000: float | None = None


def steps_in_words(ranges: Iterable[Sequence[int]]) -> str:
    """First and last steps of ranges.

    >>> steps_in_words([[10, 90], [200, 210]])
    '10 to 90, 200 to 210'
    """
    return ", ".join(f"{first} to {last}" for first, last in ranges)
