"""Steps that two courses have in common, and their statistics there, a few at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Select, bindparam, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import TENSOR_STATS, AttemptSums, Snapshot
from bifurk_service.store.timeline import Stretch
from bifurk_service.store.whole_steps import whole_ends

TENSORS_AT_ONCE: Final = 500
STEPS_AT_ONCE: Final = 500
MOST_LOOKED_AT: Final = 20_000
"""Steps that are looked at for common ones: some hundredths of a second."""
FEWEST_AT_ONCE: Final = 16
MOST_AT_ONCE: Final = 4_096
"""Steps that one statement looks at: few first, for few may do."""

_SNAPSHOTS: Final = Snapshot.__table__.c
_THERE: Final = Snapshot.__table__.alias("there")
_OUTER: Final = select(_SNAPSHOTS.step).where(
    _SNAPSHOTS.attempt_id == bindparam("outer"),
    _SNAPSHOTS.step.between(bindparam("low"), bindparam("high")),
    _SNAPSHOTS.measured_at.is_not(None),
    _SNAPSHOTS.thinned == 0,
)


def _looked_at(order: ColumnElement[int]) -> Select[int, bool]:
    """Steps of one attempt, and whether another has them."""
    some = _OUTER.order_by(order).limit(bindparam("most")).subquery()
    is_common = (
        select(_THERE.c.id)
        .where(
            _THERE.c.attempt_id == bindparam("inner"),
            _THERE.c.step == some.c.step,
            _THERE.c.measured_at.is_not(None),
            _THERE.c.thinned == 0,
        )
        .correlate(some)
        .exists()
    )
    return select(some.c.step, is_common)


_OLDEST: Final = _looked_at(_SNAPSHOTS.step.asc())
_NEWEST: Final = _looked_at(_SNAPSHOTS.step.desc())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The first and the last whole step of a stretch, and how many its attempt has a step."""

    attempt_id: int
    first: int
    last: int
    density: float


def reaches(session: Session, course: Sequence[Stretch]) -> list[Reach]:
    """Those of a timeline, in order, of stretches that have any."""
    found = []
    for stretch in course:
        ends = whole_ends(session, [stretch])
        if ends is None:
            continue
        count = session.scalar(
            select(AttemptSums.whole).where(AttemptSums.attempt_id == stretch.attempt_id)
        )
        found.append(
            Reach(
                attempt_id=stretch.attempt_id,
                first=ends.first,
                last=ends.last,
                density=(count or 0) / (ends.last - ends.first + 1),
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonSteps:
    """Steps that two courses have, in the order in which they were looked for.

    Attributes:
        until: the last step that was looked at, where looking ended before all that were asked
            for were found and before the end; else None.
    """

    steps: Sequence[int]
    until: int | None = None


def common_steps(
    session: Session,
    this: Sequence[Reach],
    other: Sequence[Reach],
    *,
    limit: int,
    first: int = 0,
    last: int | None = None,
    newest: bool = False,
    most_looked_at: int = MOST_LOOKED_AT,
) -> CommonSteps:
    """Steps at which both courses have a measured snapshot that is whole, at most ``limit``.

    Args:
        this, other: see ``reaches``. first, last: both included.
        newest: the last ones, in descending order, instead of the first ones in ascending order.
        most_looked_at: so many steps, about, of the course with fewer.
    """
    found: list[int] = []
    looked_at = 0
    for mine in this[::-1] if newest else this:
        for theirs in other[::-1] if newest else other:
            low = max(first, mine.first, theirs.first)
            high = min([mine.last, theirs.last, *([] if last is None else [last])])
            while low <= high:
                most = min(max(FEWEST_AT_ONCE, 2 * limit, looked_at), MOST_AT_ONCE)
                steps, common = _look(session, mine, theirs, low, high, most=most, newest=newest)
                found += steps[common].tolist()
                looked_at += len(steps)
                if len(found) >= limit:
                    return CommonSteps(steps=found[:limit])
                if len(steps) < most:
                    break
                low, high = (low, int(steps[-1]) - 1) if newest else (int(steps[-1]) + 1, high)
                if looked_at >= most_looked_at:
                    return CommonSteps(steps=found, until=int(steps[-1]))
    return CommonSteps(steps=found)


def _look(
    session: Session,
    mine: Reach,
    theirs: Reach,
    low: int,
    high: int,
    *,
    most: int,
    newest: bool,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Steps of the attempt that has fewer a step, in order, and which of them the other has."""
    outer, inner = sorted((mine, theirs), key=lambda one: one.density)
    asked = {"outer": outer.attempt_id, "inner": inner.attempt_id, "low": low, "high": high}
    query = _NEWEST if newest else _OLDEST
    rows = session.connection().execute(query, {**asked, "most": most}).cursor.fetchall()
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    order = np.argsort(table[:, 0])[:: -1 if newest else 1]
    return table[order, 0], table[order, 1] != 0


def statistics_at_steps(
    session: Session,
    course: Sequence[Stretch],
    statistics: tuple[str, ...],
    tensor_ids: Sequence[int],
    steps: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Statistics of T tensors at S steps of a course, float64 [T, S, K], NaN without a value.

    Args:
        steps: each once, in any order.
    """
    found = np.full((len(tensor_ids), len(steps), len(statistics)), np.nan)
    query = _at_steps(statistics)
    tensors, places = np.argsort(tensor_ids, kind="stable"), np.argsort(steps, kind="stable")
    for stretch in course:
        own = [step for step in steps.tolist() if stretch.holds(step)]
        for some in _some(own, STEPS_AT_ONCE):
            for ids in _some(tensor_ids, TENSORS_AT_ONCE):
                asked = {"attempt": stretch.attempt_id, "tensors": ids, "steps": some}
                rows = session.connection().execute(query, asked).cursor.fetchall()
                table = np.array(rows, dtype=np.float64).reshape(-1, 2 + len(statistics))
                row = _place(np.array(tensor_ids), tensors, table[:, 0].astype(np.int64))
                at = _place(steps, places, table[:, 1].astype(np.int64))
                found[row, at] = table[:, 2:]
    return found


@functools.lru_cache(maxsize=64)
def _at_steps(statistics: tuple[str, ...]) -> Select[*tuple[Any, ...]]:
    table = TENSOR_STATS.c
    return select(table.tensor_id, table.step, *(table[name] for name in statistics)).where(
        table.tensor_id.in_(bindparam("tensors", expanding=True)),
        table.attempt_id == bindparam("attempt"),
        table.step.in_(bindparam("steps", expanding=True)),
    )


def _place(
    among: NDArray[np.int64], order: NDArray[np.intp], wanted: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Where values stand that are all among others, given the order of these."""
    found: NDArray[np.intp] = order[np.searchsorted(among, wanted, sorter=order)]
    return found


def _some(every: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (every[at : at + size] for at in range(0, len(every), size))
