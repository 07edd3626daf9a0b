"""Steps of a long course at even distances, and those of another course around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, ScalarSelect, Select, bindparam, select
from sqlalchemy.orm import Session, aliased

from bifurk_service.store.models import Snapshot
from bifurk_service.store.near import Steps
from bifurk_service.store.outline_pieces import window_of
from bifurk_service.store.timeline import Stretch
from bifurk_service.store.whole_steps import whole_ends

AT_ONCE: Final = 500
"""Snapshots that one statement names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvenSteps:
    """Steps int64 [N], ascending: of ``every`` snapshots one, and those that were asked for."""

    steps: NDArray[np.int64]
    every: int


def even_steps(
    session: Session, course: Sequence[Stretch], *, points: int, near: Steps | None = None
) -> EvenSteps:
    """Whole snapshots of a course at about even distances, and its first and last.

    As a run grows its steps stay the same, until every other one is left out. They are those that
    thinning leaves.

    Args:
        course: of a timeline. points: so many at most, besides the ends and what is near.
        near: two steps, both included, between which none is left out.
    """
    windows = [one for one in (window_of(session, stretch) for stretch in course) if one]
    sequences = sum(one.last - one.first + 1 for one in windows)
    every = 1
    while sequences > every * points:
        every *= 2
    found = [_ends(session, course)]
    for one in windows:
        chosen = np.arange(-(-one.first // every) * every, one.last + 1, every)
        found += [
            _steps(session, one.stretch, Snapshot.sequence.in_(some)) for some in _some(chosen)
        ]
        if near is not None:
            first, last = max(near[0], one.stretch.first), one.stretch.last_step(near[1])
            found.append(_steps(session, one.stretch, Snapshot.step.between(first, last)))
    return EvenSteps(steps=np.unique(np.concatenate(found)), every=every)


def steps_around(
    session: Session, course: Sequence[Stretch], mine: Sequence[Stretch], steps: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The whole steps of a course nearest to some steps on either side, or at them; and its ends.

    Args:
        mine: the course whose steps are asked for, int64 [N]. steps: of it.

    Returns:
        int64, ascending, at most 2 N, and two for each stretch.
    """
    found = [_ends(session, [one]) for one in course]
    for theirs in course:
        for own in mine:
            asked = [step for step in steps.tolist() if theirs.holds(step) and own.holds(step)]
            for some in _some(asked):
                names = {"mine": own.attempt_id, "theirs": theirs.attempt_id, "steps": some}
                rows = session.execute(_AROUND, names).all()
                sides = [side for row in rows for side in row if side is not None]
                found.append(np.array([one for one in sides if theirs.holds(one)], dtype=np.int64))
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *found]))


def _ends(session: Session, course: Sequence[Stretch]) -> NDArray[np.int64]:
    ends = whole_ends(session, course)
    return np.array([] if ends is None else [ends.first, ends.last], dtype=np.int64)


def _steps(session: Session, stretch: Stretch, which: ColumnElement[bool]) -> NDArray[np.int64]:
    query = select(Snapshot.step).where(
        Snapshot.attempt_id == stretch.attempt_id,
        Snapshot.measured_at.is_not(None),
        Snapshot.thinned == 0,
        which,
    )
    return np.array(session.scalars(query).all(), dtype=np.int64)


def _some(every: Sequence[int] | NDArray[np.int64]) -> Iterator[list[int]]:
    for first in range(0, len(every), AT_ONCE):
        yield [int(one) for one in every[first : first + AT_ONCE]]


def _around() -> Select[*tuple[Any, ...]]:
    asked = aliased(Snapshot)

    def nearest(condition: ColumnElement[bool], order: ColumnElement[int]) -> ScalarSelect[int]:
        return (
            select(Snapshot.step)
            .where(
                Snapshot.attempt_id == bindparam("theirs"),
                condition,
                Snapshot.measured_at.is_not(None),
                Snapshot.thinned == 0,
            )
            .order_by(order)
            .limit(1)
            .correlate(asked)
            .scalar_subquery()
        )

    return select(
        nearest(Snapshot.step <= asked.step, Snapshot.step.desc()),
        nearest(Snapshot.step >= asked.step, Snapshot.step.asc()),
    ).where(
        asked.attempt_id == bindparam("mine"), asked.step.in_(bindparam("steps", expanding=True))
    )


_AROUND: Final = _around()
