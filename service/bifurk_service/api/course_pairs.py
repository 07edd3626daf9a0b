"""The courses of the same tensors in two runs, read where they are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.parting import LEVELS
from bifurk_service.store.common_steps import (
    MOST_LOOKED_AT,
    CommonSteps,
    Reach,
    common_steps,
    reaches,
    statistics_at_steps,
)
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Tensor
from bifurk_service.store.step_bins import StepBins, step_bins, tensor_places
from bifurk_service.store.timeline import Stretch, timeline

FEW_STEPS: Final = 16
MOST_STEPS: Final = 512
"""Steps that are read at a time: few first, for few may do."""
LOOK: Final = 300
"""Values that a look costs as much as, besides those that it reads."""


class Budget:
    """How much may still be read, in values."""

    def __init__(self, values: int) -> None:
        self._left = values

    @property
    def is_spent(self) -> bool:
        """Whether nothing more is to be read."""
        return self._left <= 0

    def spend(self, values: int) -> None:
        """Before they are read."""
        self._left -= values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    course: Sequence[Stretch]
    reaches: Sequence[Reach]
    tensor_ids: Sequence[int]
    places: NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """S common steps int64 [S], and values of T tensors at them, float64 [T, S, K] each."""

    steps: NDArray[np.int64]
    this: NDArray[np.float64]
    other: NDArray[np.float64]


class CoursePair:
    """T tensors of two runs, the two in the same order.

    Args:
        this, other: a run's id and its tensors. budget: for all that is read.
    """

    def __init__(
        self,
        session: Session,
        this: tuple[int, Sequence[Tensor]],
        other: tuple[int, Sequence[Tensor]],
        budget: Budget,
    ) -> None:
        self._session = session
        self._this, self._other = (_side(session, *one) for one in (this, other))
        self.budget = budget

    def steps(
        self, *, limit: int, first: int = 0, last: int | None = None, newest: bool = False
    ) -> CommonSteps:
        """As ``common_steps``."""
        return common_steps(
            self._session,
            self._this.reaches,
            self._other.reaches,
            limit=limit,
            first=first,
            last=last,
            newest=newest,
        )

    def at(
        self, steps: Sequence[int], statistics: tuple[str, ...], which: Sequence[int] | None = None
    ) -> Compared:
        """Some statistics of some of the tensors, or of all, at common steps."""
        asked = np.array(steps, dtype=np.int64)
        self.budget.spend(LOOK + len(asked) * len(self._this.places if which is None else which))
        this, other = (
            statistics_at_steps(
                self._session,
                side.course,
                statistics,
                side.tensor_ids if which is None else [side.tensor_ids[one] for one in which],
                asked,
            )
            for side in (self._this, self._other)
        )
        return Compared(steps=asked, this=this, other=other)

    def walk(
        self,
        first: int,
        last: int,
        statistics: tuple[str, ...] = tuple(LEVELS),
        which: Sequence[int] | None = None,
        *,
        newest: bool = False,
    ) -> Iterator[Compared]:
        """All common steps between two, a few at a time, until the budget is spent."""
        count = FEW_STEPS
        while not self.budget.is_spent:
            found = self.steps(limit=count, first=first, last=last, newest=newest)
            if found.steps:
                yield self.at(found.steps, statistics, which)
            until = found.until
            if until is not None:
                self.budget.spend(MOST_LOOKED_AT)
            elif len(found.steps) < count:
                return
            else:
                until = found.steps[-1]
            count = min(2 * count, MOST_STEPS)
            first, last = (first, until - 1) if newest else (until + 1, last)

    def bins(
        self,
        level: int,
        statistic: str,
        first: int,
        last: int,
        which: Sequence[int] | None = None,
    ) -> tuple[StepBins, StepBins]:
        """What is condensed of both between two steps, of some of the tensors, or of all."""
        this, other = (
            step_bins(
                self._session,
                side.course,
                statistic,
                side.places if which is None else side.places[list(which)],
                level=level,
                first_step=first,
                last_step=last,
            )
            for side in (self._this, self._other)
        )
        self.budget.spend(LOOK)
        return this, other


def _side(session: Session, run_id: int, tensors: Sequence[Tensor]) -> _Side:
    course, ids = timeline(session, run_id), [tensor.id for tensor in tensors]
    return _Side(
        course=course,
        reaches=reaches(session, course),
        tensor_ids=ids,
        places=tensor_places(session, run_id, ids),
    )
