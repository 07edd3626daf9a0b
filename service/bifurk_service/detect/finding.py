"""A detection with its place: which kind saw what, in which tensor, at which snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bifurk_service.detect.base import Detection


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One detection in one tensor.

    Attributes:
        tensor: the tensor's place in the model's order, from 0.
        sequence, step: of the snapshot at which it was seen.
        onset_first_step to details: as in ``Detection``.
    """

    kind: str
    statistic: str
    tensor: int
    sequence: int
    step: int
    onset_first_step: int
    onset_last_step: int
    before: float
    after: float
    score: float
    details: Mapping[str, float | int | str | bool] = field(default_factory=dict)

    @property
    def onset_sequence(self) -> int:
        """Sequence at which it most likely began; that of the finding itself where not told."""
        return self.sequence - int(self.details.get("snapshots_since_onset", 1)) + 1

    @classmethod
    def of(
        cls, detection: Detection, *, kind: str, statistic: str, sequence: int, step: int
    ) -> Finding:
        """The same detection, placed."""
        return cls(
            kind=kind,
            statistic=statistic,
            tensor=detection.series,
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
        return asdict(self)
