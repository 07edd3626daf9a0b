"""A detection with its place: which kind saw what, in which tensor, at which snapshot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bifurk_service.detect.base import Detection
from bifurk_service.stats.registry import Statistic


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One detection in one tensor.

    Attributes:
        tensor: the tensor's place in the model's order, from 0.
        log_scale: whether the statistic is multiplicative, so that changes of it are ratios.
        sequence, step: of the snapshot at which it was seen.
        onset_first_step to details: as in ``Detection``.
    """

    kind: str
    statistic: str
    tensor: int
    log_scale: bool
    sequence: int
    step: int
    onset_first_step: int
    onset_last_step: int
    before: float
    after: float
    score: float
    details: Mapping[str, float | int | str | bool] = field(default_factory=dict)

    @property
    def onset(self) -> tuple[int, int]:
        """The interval of steps in which it began."""
        return self.onset_first_step, self.onset_last_step

    @property
    def onset_sequence(self) -> int:
        """Sequence at which it most likely began; that of the finding itself where not told."""
        return self.sequence - int(self.details.get("snapshots_since_onset", 1)) + 1

    @property
    def log_ratio(self) -> float:
        """Size of the change as a logarithm, at least 0; 0 where the statistic has no ratio."""
        if not self.log_scale or min(self.before, self.after) <= 0:
            return 0.0
        return abs(math.log(self.after / self.before))

    @property
    def response(self) -> float:
        """Size of the change on the scale detectors work on, at least 0."""
        return self.log_ratio if self.log_scale else abs(self.after - self.before)

    @classmethod
    def of(
        cls, detection: Detection, *, kind: str, statistic: Statistic, sequence: int, step: int
    ) -> Finding:
        """The same detection, placed."""
        return cls(
            kind=kind,
            statistic=statistic.name,
            tensor=detection.series,
            log_scale=statistic.log_scale,
            sequence=sequence,
            step=step,
            onset_first_step=detection.onset_first_step,
            onset_last_step=detection.onset_last_step,
            before=detection.before,
            after=detection.after,
            score=detection.score,
            details=dict(detection.details),
        )

    def as_json(self) -> dict[str, Any]:
        """Every field, JSON-ready; ``Finding(**document)`` reads it back."""
        document = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**document, "details": dict(self.details)}
