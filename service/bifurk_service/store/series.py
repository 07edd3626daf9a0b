"""Time series read back: statistics of tensors, and the scalars users log."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, ScalarSelect, Select, func, select
from sqlalchemy.orm import Session

from bifurk_service.errors import NotFoundError
from bifurk_service.store.kept_extremes import kept_points, merged
from bifurk_service.store.models import TENSOR_STATS, Attempt, Series, SeriesPoint, Snapshot, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The steps of one attempt that count: [first, end), until a later attempt took over."""

    attempt_id: int
    first: int
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StatisticSeries:
    """One statistic of one tensor: ascending steps int64 [N], values float64 [N], NaN without."""

    tensor_id: int
    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StatisticCourses:
    """K statistics of one tensor: ascending steps int64 [N], values float64 [N, K], NaN without."""

    tensor_id: int
    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScalarPoint:
    """One interval of a logged scalar, up to a snapshot; None where a value was not finite."""

    step: int
    last: float | None
    mean: float | None
    min: float | None
    max: float | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an attempt lies: its first step, and where later attempts took over, None for never."""

    first: int | None
    end: int | None

    @property
    def on_course(self) -> bool:
        """Whether any of its steps count."""
        return self.first is not None and (self.end is None or self.first < self.end)


def places(session: Session, run_id: int) -> dict[int, Place]:
    """By id, where a run's attempts lie, by the rule of ``timeline``."""
    firsts = session.execute(
        select(Attempt.id, first_step()).where(Attempt.run_id == run_id).order_by(Attempt.id.desc())
    )
    found: dict[int, Place] = {}
    end: int | None = None
    for attempt_id, first in firsts:
        found[attempt_id] = Place(first=first, end=end)
        end = _least(end, first)
    return found


def timeline(session: Session, run_id: int, attempt: str | None = None) -> list[Stretch]:
    """A run's attempts as one course: where a later one begins, the earlier ones end.

    Args:
        attempt: only this one, whole, whatever went over its steps again.

    Raises:
        NotFoundError: the run has no attempt of this name; names those that it has.
    """
    if attempt is not None:
        return _branch(session, run_id, attempt)
    rows = session.execute(
        select(Attempt.id, first_step()).where(Attempt.run_id == run_id).order_by(Attempt.id.desc())
    )
    stretches: list[Stretch] = []
    end: int | None = None
    for attempt_id, first in rows:
        if first is not None and (end is None or first < end):
            stretches.append(Stretch(attempt_id=attempt_id, first=first, end=end))
            end = first
    return stretches[::-1]


def first_step() -> ScalarSelect[int]:
    """For a query over attempts: the first step of each, one look at an index; null without any."""
    steps = select(Snapshot.step).where(Snapshot.attempt_id == Attempt.id)
    return steps.order_by(Snapshot.step).limit(1).correlate(Attempt).scalar_subquery()


def _least(*steps: int | None) -> int | None:
    return min((step for step in steps if step is not None), default=None)


def _branch(session: Session, run_id: int, slug: str) -> list[Stretch]:
    query = select(Attempt.slug, Attempt.id).where(Attempt.run_id == run_id).order_by(Attempt.id)
    known = dict(session.execute(query).tuples().all())
    if slug not in known:
        raise NotFoundError(
            f"run {run_id} has no attempt {slug!r}; it has {', '.join(known) or 'none'}",
            where="attempt",
        )
    own = Snapshot.attempt_id == known[slug]
    first = session.scalar(select(func.min(Snapshot.step)).where(own))
    return [] if first is None else [Stretch(attempt_id=known[slug], first=first, end=None)]


def find_tensors(
    session: Session,
    run_id: int,
    *,
    glob: str | None = None,
    layer: int | None = None,
    role: str | None = None,
) -> list[Tensor]:
    """A run's tensors in the order of the model; ``glob`` matches names with ``*`` and ``?``."""
    query = select(Tensor).where(Tensor.run_id == run_id)
    if layer is not None:
        query = query.where(Tensor.layer == layer)
    if role is not None:
        query = query.where(Tensor.role == role)
    if glob is not None:
        query = query.where(Tensor.name.like(_like(glob), escape="\\"))
    return list(session.scalars(query.order_by(Tensor.id)))


def statistic_series(
    session: Session,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    first_step: int | None = None,
    last_step: int | None = None,
    attempt: str | None = None,
) -> Iterator[StatisticSeries]:
    """The series of some tensors between two steps, both included, one tensor at a time.

    Where an attempt is thinned they hold what was left whole and the extremes of the rest.
    """
    courses = statistic_courses(
        session,
        run_id,
        (statistic,),
        tensor_ids,
        first_step=first_step,
        last_step=last_step,
        attempt=attempt,
    )
    kept = kept_points(
        session,
        timeline(session, run_id, attempt),
        statistic,
        tensor_ids,
        first_step=first_step,
        last_step=last_step,
    )
    for course, points in zip(courses, kept, strict=True):
        steps, values = merged(course.steps, course.values[:, 0], points)
        yield StatisticSeries(tensor_id=course.tensor_id, steps=steps, values=values)


def statistic_courses(
    session: Session,
    run_id: int,
    statistics: Sequence[str],
    tensor_ids: Sequence[int],
    *,
    first_step: int | None = None,
    last_step: int | None = None,
    attempt: str | None = None,
) -> Iterator[StatisticCourses]:
    """Several statistics of some tensors between two steps, both included, a tensor at a time.

    Of what is thinned only what was left whole: extremes of single tensors are no fair sample.

    Args:
        attempt: only what this one saw, see ``timeline``.
    """
    stretches = timeline(session, run_id, attempt)
    for tensor_id in tensor_ids:
        rows = np.concatenate(
            [
                _rows(
                    session,
                    stretch_query(
                        statistics, tensor_id, stretch, first_step=first_step, last_step=last_step
                    ),
                    columns=1 + len(statistics),
                )
                for stretch in stretches
            ]
            or [np.zeros((0, 1 + len(statistics)))]
        )
        yield StatisticCourses(
            tensor_id=tensor_id, steps=rows[:, 0].astype(np.int64), values=rows[:, 1:]
        )


def _rows(
    session: Session, query: Select[*tuple[Any, ...]], *, columns: int
) -> NDArray[np.float64]:
    """Rows as the driver gives them, float64 [n, columns], NaN for null; exact up to 2^53."""
    found = session.connection().execute(query).cursor.fetchall()
    return np.array(found, dtype=np.float64).reshape(-1, columns)


def stretch_query(
    statistics: Sequence[str],
    tensor_id: int | BindParameter[int],
    stretch: Stretch,
    *,
    first_step: int | None = None,
    last_step: int | None = None,
) -> Select[*tuple[Any, ...]]:
    """Step and statistics of one tensor in one stretch, by step; both ends included."""
    table = TENSOR_STATS.c
    query = select(table.step, *(table[name] for name in statistics)).where(
        table.tensor_id == tensor_id, table.attempt_id == stretch.attempt_id
    )
    if stretch.end is not None:
        query = query.where(table.step < stretch.end)
    if first_step is not None:
        query = query.where(table.step >= first_step)
    if last_step is not None:
        query = query.where(table.step <= last_step)
    return query.order_by(table.step)


def scalar_names(session: Session, run_id: int) -> list[str]:
    """Names of the scalars a run has logged."""
    return list(
        session.scalars(select(Series.name).where(Series.run_id == run_id).order_by(Series.name))
    )


def scalar_points(
    session: Session, run_id: int, name: str, attempt: str | None = None
) -> list[ScalarPoint]:
    """A logged scalar's intervals along the run's timeline, or those of one attempt."""
    columns = [getattr(SeriesPoint, field.name) for field in fields(ScalarPoint)]
    points: list[ScalarPoint] = []
    for stretch in timeline(session, run_id, attempt):
        query = (
            select(*columns)
            .join(Series, SeriesPoint.series_id == Series.id)
            .where(
                Series.run_id == run_id,
                Series.name == name,
                SeriesPoint.attempt_id == stretch.attempt_id,
            )
            .order_by(SeriesPoint.step)
        )
        if stretch.end is not None:
            query = query.where(SeriesPoint.step < stretch.end)
        rows = session.connection().execute(query).cursor.fetchall()
        points.extend(ScalarPoint(*row) for row in rows)
    return points


def scalar_sketch(session: Session, run_id: int, name: str, *, points: int) -> list[float]:
    """A logged scalar's means at evenly spread snapshots, about ``points`` or up to twice as many.

    In the order of attempts and steps, NaN without a value.
    """
    chosen = [Series.run_id == run_id, Series.name == name]
    joined = select(SeriesPoint.mean).join(Series, SeriesPoint.series_id == Series.id)
    count = select(func.count()).select_from(joined.where(*chosen).subquery())
    stride = max(session.scalar(count) or 0, points) // points
    order = (SeriesPoint.attempt_id, SeriesPoint.step)
    place = func.row_number().over(order_by=order).label("place")
    numbered = joined.add_columns(place).where(*chosen).subquery()
    query = select(numbered.c.mean).where(numbered.c.place % stride == 0)
    return [
        math.nan if mean is None else mean
        for mean in session.scalars(query.order_by(numbered.c.place))
    ]


def _like(glob: str) -> str:
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
