"""Steps at which a tensor has rows: all of them, or of many some that lie evenly.

Of many each is one look at an index, so that what is read does not grow with what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, BindParameter, FromClause, Select, bindparam, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import TENSOR_STATS, Attempt, SpectrumRow, Tensor
from bifurk_service.store.timeline import Stretch

Rows: TypeAlias = Literal["statistics", "spectra"]
TABLES: Final[dict[Rows, FromClause]] = {
    "statistics": TENSOR_STATS,
    "spectra": SpectrumRow.__table__,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CarriedSteps:
    """Ascending steps int64 [N]; ``is_whole`` where there are no others."""

    steps: NDArray[np.int64]
    is_whole: bool


def carried_steps(
    session: Session,
    rows: Rows,
    tensor_id: int,
    course: Sequence[Stretch],
    *,
    most: int,
    first_step: int = 0,
    last_step: int | None = None,
) -> CarriedSteps:
    """Steps of a course between two, both included, at which a tensor has a row.

    Of more than ``most`` these: the first at or after each multiple of a stride, and the ends.
    The stride is a power of two, as short as may be, so that a course that grows keeps its steps.

    Args:
        rows: of which a step has one.
        course: of a timeline.
        most: more than the course has stretches; one more may be given, which is the last.
    """
    reader = _Reader(session, TABLES[rows], tensor_id, course, first_step, last_step)
    every = reader.steps(1, most + 1)
    if len(every) <= most:
        return CarriedSteps(steps=np.array(every, dtype=np.int64), is_whole=True)
    last = reader.last()
    stride = 1 << ((last - every[0]) // most).bit_length()
    while len(found := reader.steps(stride, most + 1)) > most and stride <= last:
        stride *= 2
    while stride > 1 and 2 * len(found) <= most:
        stride //= 2
        more = reader.steps(stride, most + 1)
        if len(more) > most:
            break
        found = more
    steps = np.union1d(np.array(found, dtype=np.int64), [last])
    return CarriedSteps(steps=steps, is_whole=False)


def nearest_carried(session: Session, rows: Rows, tensor: Tensor, step: int) -> int | None:
    """The step of any attempt that is nearest to one and has a tensor's row, of two the earlier."""
    table, found = TABLES[rows].c, []
    for attempt_id in session.scalars(select(Attempt.id).where(Attempt.run_id == tensor.run_id)):
        own = select(table.step).where(table.tensor_id == tensor.id, table.attempt_id == attempt_id)
        before = own.where(table.step <= step).order_by(table.step.desc())
        after = own.where(table.step >= step).order_by(table.step)
        found += [session.scalar(query.limit(1)) for query in (before, after)]
    known = sorted(one for one in found if one is not None)
    return min(known, key=lambda one: abs(one - step), default=None)


class _Reader:
    def __init__(
        self,
        session: Session,
        table: FromClause,
        tensor_id: int,
        course: Sequence[Stretch],
        first_step: int,
        last_step: int | None,
    ) -> None:
        self._session = session
        self._table = table
        self._tensor_id = tensor_id
        self._parts = [
            (one.attempt_id, max(first_step, one.first), one.last_step(last_step)) for one in course
        ]

    def steps(self, stride: int, limit: int) -> list[int]:
        """The first at or after each multiple of a stride, at most ``limit``."""
        found: list[int] = []
        for attempt_id, first, last in self._parts:
            asked = {"tensor": self._tensor_id, "attempt": attempt_id, "first": first}
            if last is not None:
                asked["last"] = last
            query = _all(self._table, bounded=last is not None)
            if stride > 1:
                query, asked["stride"] = _strided(self._table, bounded=last is not None), stride
            found += self._session.scalars(query, {**asked, "most": limit - len(found)})
        return found

    def last(self) -> int:
        """The last of all; there must be one."""
        lasts = []
        for attempt_id, first, last in self._parts:
            step = self._table.c.step
            query = _of(self._table, self._tensor_id, attempt_id)
            if last is not None:
                query = query.where(step <= last)
            found = self._session.scalar(query.order_by(step.desc()).limit(1))
            lasts += [found] if found is not None and found >= first else []
        return max(lasts)


def _of(
    table: FromClause,
    tensor_id: int | BindParameter[int],
    attempt_id: int | BindParameter[int],
) -> Select[int]:
    return select(table.c.step).where(
        table.c.tensor_id == tensor_id, table.c.attempt_id == attempt_id
    )


@cache
def _all(table: FromClause, *, bounded: bool) -> Select[int]:
    query = _of(table, bindparam("tensor"), bindparam("attempt")).where(
        table.c.step >= bindparam("first")
    )
    if bounded:
        query = query.where(table.c.step <= bindparam("last"))
    return query.order_by(table.c.step).limit(bindparam("most"))


@cache
def _strided(table: FromClause, *, bounded: bool) -> Select[Any]:
    """Each step is looked for from the multiple behind the one before."""
    stride: BindParameter[int] = bindparam("stride", type_=BigInteger)
    begin = (
        _of(table, bindparam("tensor"), bindparam("attempt"))
        .where(table.c.step >= bindparam("first"))
        .order_by(table.c.step)
        .limit(1)
    )
    seen = select(begin.scalar_subquery().label("step")).cte("seen", recursive=True)
    following = table.alias("following")
    behind = (
        _of(following, bindparam("tensor"), bindparam("attempt"))
        .where(following.c.step >= (seen.c.step // stride + 1) * stride)
        .order_by(following.c.step)
        .limit(1)
        .correlate(seen)
        .scalar_subquery()
    )
    inside = [seen.c.step.is_not(None), *([seen.c.step <= bindparam("last")] if bounded else [])]
    seen = seen.union_all(select(behind).where(*inside))
    query = select(seen.c.step).where(seen.c.step.is_not(None))
    if bounded:
        query = query.where(seen.c.step <= bindparam("last"))
    return query.limit(bindparam("most"))
