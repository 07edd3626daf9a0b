"""How often alerts of a kind and score are false: rates measured on series without events.

``calibration.json`` beside this module holds the table, written by
``benchmarks/detection.py --write-calibration``::

    {"regime_shift": {"scores": [1.0, 1.1, 1.25, 1.5, 2.0, 3.0],
                      "per_10000": [0.9, 0.5, 0.3, 0.1, 0.04, 0.01],
                      "series_snapshots": 560000}}

``scores`` ascend from 1; ``per_10000`` are the detections at that score or above, per 10,000
snapshots of one series, pooled over the null families; ``series_snapshots`` is how many such
snapshots were judged. Kinds that were not measured are left out.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

TABLE: Final = "calibration.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A kind's measured rates.

    Attributes:
        scores: ascending thresholds on the score, the first at most 1.
        per_10000: rate of false detections at each or above, never rising.
        series_snapshots: snapshots, times series, that they were counted in.
    """

    scores: Sequence[float]
    per_10000: Sequence[float]
    series_snapshots: int

    def __post_init__(self) -> None:
        scores, rates = list(self.scores), list(self.per_10000)
        if not scores or len(scores) != len(rates):
            raise ValueError(f"{len(scores)} scores for {len(rates)} rates")
        if scores != sorted(set(scores)) or scores[0] > 1:
            raise ValueError(f"scores ascend from 1, got {scores}")
        if rates != sorted(rates, reverse=True) or rates[-1] < 0:
            raise ValueError(f"rates are at least 0 and never rise, got {rates}")
        if self.series_snapshots < 1:
            raise ValueError(f"rates of {self.series_snapshots} snapshots")


def false_alarms_per_10000(kind: str, score: float) -> float | None:
    """The measured rate at the highest tabulated score up to this one; None where unmeasured.

    Args:
        score: of the alert, at least 1.
    """
    measured = calibrations().get(kind)
    if measured is None:
        return None
    return measured.per_10000[max(bisect_right(measured.scores, score) - 1, 0)]


@cache
def calibrations() -> Mapping[str, Calibration]:
    """The whole table, read once."""
    return read_calibrations(json.loads(resources.files(__package__).joinpath(TABLE).read_text()))


def read_calibrations(document: Mapping[str, Mapping[str, Any]]) -> dict[str, Calibration]:
    """Reads the table's document, checking every row.

    Raises:
        ValueError: scores that do not ascend from 1, or rates that rise.
    """
    return {kind: Calibration(**row) for kind, row in document.items()}
