"""One detector on one statistic, asked about a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import AnyWatch, Detection, Memorable, PopulationWatch
from bifurk_service.detect.finding import Finding
from bifurk_service.domain import Clock, TensorInfo
from bifurk_service.stats.registry import Statistic


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One detector on one statistic."""

    kind: str
    statistic: Statistic
    detector: Memorable
    ask: Callable[
        [Clock, Sequence[TensorInfo], NDArray[np.float64], NDArray[np.bool_]], list[Detection]
    ]

    @property
    def key(self) -> str:
        """Its name, which no other of a judge has."""
        return f"{self.kind}/{self.statistic.name}"

    def define(self) -> list[Any]:
        """What verdicts depend on of the statistic, JSON-ready."""
        one = self.statistic
        return [one.definition_version, one.nature.value, one.log_scale]

    def describe(self) -> dict[str, Any]:
        """What verdicts depend on of the detector, JSON-ready."""
        return {
            "detector": self.kind,
            "version": self.detector.version,
            "parameters": dict(self.detector.parameters()),
        }


def seats_of(watches: Sequence[AnyWatch], statistics: Mapping[str, Statistic]) -> Iterator[Seat]:
    """Every watch's detectors, one a statistic, that have seen nothing yet."""
    for watch in watches:
        for name in watch.statistics:
            yield _seat_of(watch, statistics[name])


def _seat_of(watch: AnyWatch, statistic: Statistic) -> Seat:
    if isinstance(watch, PopulationWatch):
        among = watch.make(statistic)
        return Seat(kind=watch.kind, statistic=statistic, detector=among, ask=among.update)
    alone = watch.make(statistic)
    return Seat(
        kind=watch.kind,
        statistic=statistic,
        detector=alone,
        ask=lambda clock, _, values, valid: alone.update(clock, values, valid),
    )


def findings_of(
    seat: Seat,
    clock: Clock,
    tensors: Sequence[TensorInfo],
    values: Mapping[str, NDArray[np.float64]],
    valid: Mapping[str, NDArray[np.bool_]],
) -> Iterator[Finding]:
    """What one detector says of a snapshot; arguments as of ``Judge.update``.

    Raises:
        ValueError: its statistic's arrays have another length than the tensors.
    """
    count, name = len(tensors), seat.statistic.name
    series = values.get(name, np.zeros(count))
    known = valid.get(name, np.zeros(count, dtype=np.bool_))
    if series.shape != (count,) or known.shape != (count,):
        raise ValueError(f"{name}: expected {count} values, got {series.shape} and {known.shape}")
    for detection in seat.ask(clock, tensors, series, known):
        yield Finding.of(
            detection,
            kind=seat.kind,
            statistic=seat.statistic,
            sequence=clock.sequence,
            step=clock.step,
        )
