"""``one_bad_snapshot``: a single value far off the course of its neighbours, which then returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.history import History
from bifurk_service.detect.medians import masked_median
from bifurk_service.detect.robust_fit import GAUSSIAN_MAD
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Nature, Statistic

RESOLUTION: Final = 1e-9
"""A statistic's own rounding, relative to its size: no noise is taken to be smaller."""
GRAINS: Final = 6.0
"""A number format's steps that a bad value's second difference must exceed: one step there and
back makes two, and steps are twice as wide, as logarithms, where a binade begins."""
NEIGHBOURS: Final = 3
"""The value itself and one on either side."""
COURSE: Final = 5
"""Values from two before the neighbours on: what two snapshots change without the bad one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneBadSnapshotParameters:
    """Thresholds.

    Attributes:
        threshold: least second difference around the value, in the robust standard deviation of
            the second differences before it.
        returned: the change from its one neighbour to the other may differ from the change over the
            two snapshots before by this share of its distance from their middle.
        past: values the noise is estimated from.
        least_past: fewer second differences other than zero tell no noise.
    """

    threshold: float = 12.0
    returned: float = 0.25
    past: int = 60
    least_past: int = 15


class OneBadSnapshot:
    """Fires at the snapshot after the bad one, since only that shows the return."""

    kind: ClassVar[str] = "one_bad_snapshot"
    version: ClassVar[int] = 2

    def __init__(
        self, statistic: Statistic, *, parameters: OneBadSnapshotParameters | None = None
    ) -> None:
        self._statistic = statistic
        self._parameters = parameters or OneBadSnapshotParameters()
        self._history = History(self._parameters.past + NEIGHBOURS)
        self._seam = Seam(restarts_at_interval=statistic.nature is Nature.STATIONARY)

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``; a logarithmic statistic has no value where it is not positive."""
        course, known = on_course(self._statistic, values, valid)
        if self._seam.passed(clock):
            self._history.forget(np.ones(len(self._history.counts), dtype=np.bool_))
        self._history.grow(len(values))
        self._history.push(clock.step, course, known)
        return self._judge(np.flatnonzero(known & self._returned()))

    def snapshot(self) -> State:
        """See ``Detector``."""
        return {**self._history.snapshot(), **self._seam.snapshot()}

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._history.restore(state)
        self._seam.restore(state)

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        return asdict(self._parameters)

    def _returned(self) -> NDArray[np.bool_]:
        """Where the value after the last but one goes on as if that had not been, bool [S]."""
        earlier, _, before, bad, after = self._history.values[:, -COURSE:].T
        distance = np.abs(bad - (before + after) / 2)
        off_course = np.abs((after - before) - (before - earlier))
        returned: NDArray[np.bool_] = off_course <= self._parameters.returned * distance
        return returned

    def _judge(self, rows: NDArray[np.intp]) -> list[Detection]:
        values, known = self._history.values[rows], self._history.known_in(rows)
        bend = np.abs(np.diff(values, n=2, axis=1))
        # The last two second differences hold the value in question. Those of exactly zero tell a
        # stand-still or the number format, and no noise.
        earlier = known[:, :-4] & (bend[:, :-2] > 0)
        noise = GAUSSIAN_MAD * masked_median(bend[:, :-2], earlier)
        size = np.max(np.abs(values), axis=1, initial=0.0) if not self._statistic.log_scale else 1.0
        known_noise = (earlier.sum(axis=1) >= self._parameters.least_past) & (
            noise > RESOLUTION * size
        )
        told = np.flatnonzero(known_noise & (bend[:, -1] >= self._parameters.threshold * noise))
        told = told[bend[told, -1] >= GRAINS * _smallest_step(values[told], known[told])]
        return [
            self._detection(int(rows[place]), float(bend[place, -1] / noise[place]))
            for place in told
        ]

    def _detection(self, series: int, size: float) -> Detection:
        steps, values = self._history.steps[series], self._history.values[series]
        return Detection(
            series=series,
            onset_first_step=int(steps[-3]),
            onset_last_step=int(steps[-2]),
            before=own_units(self._statistic, float(values[-3])),
            after=own_units(self._statistic, float(values[-2])),
            score=size / self._parameters.threshold,
            details={"size": size, "snapshots_since_onset": NEIGHBOURS - 1},
        )


def _smallest_step(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The least change other than zero that each series [S, N] made before the newest two, [S].

    Of rounded values it is their grain; of others it is next to nothing.
    """
    steps = np.abs(np.diff(values[:, :-2], axis=1))
    made = known[:, :-3] & (steps > 0)
    smallest: NDArray[np.float64] = np.min(np.where(made, steps, np.inf), axis=1, initial=np.inf)
    return smallest
