"""A run as its judge saw it: clocks and every statistic of every tensor, kept in one file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bifurk_service.domain import Clock, Mark, TensorInfo

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedAttempt:
    """One attempt: K snapshots, S statistics, T tensors.

    Attributes:
        counts: how many of the tensors each snapshot's judge knew, int64 [K].
        values: float64 [K, S, T]; NaN where there is no value.
    """

    clocks: tuple[Clock, ...]
    tensors: tuple[TensorInfo, ...]
    counts: NDArray[np.int64]
    statistics: tuple[str, ...]
    values: NDArray[np.float64]

    def __iter__(
        self,
    ) -> Iterator[tuple[Clock, tuple[TensorInfo, ...], dict[str, NDArray[np.float64]]]]:
        """What the judge is fed, snapshot by snapshot."""
        for clock, count, table in zip(self.clocks, self.counts.tolist(), self.values, strict=True):
            rows = dict(zip(self.statistics, table[:, :count], strict=True))
            yield clock, self.tensors[:count], rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """A training: its attempts in order, and the loss before each optimizer step, float64 [N].

    Attributes:
        accuracy: of what was held out, after some steps; (step, share) ascending.
        made_with: versions of what trained and measured.
    """

    attempts: tuple[RecordedAttempt, ...]
    losses: NDArray[np.float64]
    accuracy: tuple[tuple[int, float], ...] = ()
    made_with: Mapping[str, str]


def save(recording: Recording, path: Path) -> None:
    """Writes the recording, whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {"losses": recording.losses}
    described = []
    for index, attempt in enumerate(recording.attempts):
        arrays[f"counts_{index}"], arrays[f"values_{index}"] = attempt.counts, attempt.values
        described.append(
            {
                "clocks": [asdict(clock) for clock in attempt.clocks],
                "tensors": [asdict(tensor) for tensor in attempt.tensors],
                "statistics": attempt.statistics,
            }
        )
    head = {
        "attempts": described,
        "accuracy": recording.accuracy,
        "made_with": dict(recording.made_with),
    }
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    unfinished = path.with_suffix(".partial")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    unfinished.replace(path)


def load(path: Path) -> Recording:
    """What ``save`` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        head = json.loads(arrays["head"].tobytes())
        return Recording(
            attempts=tuple(
                RecordedAttempt(
                    clocks=tuple(_clock(clock) for clock in described["clocks"]),
                    tensors=tuple(
                        TensorInfo(**{**tensor, "shape": tuple(tensor["shape"])})
                        for tensor in described["tensors"]
                    ),
                    counts=arrays[f"counts_{index}"],
                    statistics=tuple(described["statistics"]),
                    values=arrays[f"values_{index}"],
                )
                for index, described in enumerate(head["attempts"])
            ),
            losses=arrays["losses"],
            accuracy=tuple((step, share) for step, share in head["accuracy"]),
            made_with=head["made_with"],
        )


def _clock(stored: Json) -> Clock:
    marks = tuple(Mark(**mark) for mark in stored["marks"])
    rates = tuple(stored["learning_rates"])
    return Clock(**{**stored, "marks": marks, "learning_rates": rates})
