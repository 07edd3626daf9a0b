"""What the user said: logged scalars, and marks of what the run did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from bifurk.wire import AttemptReport, Mark, ScalarSummary
from bifurk_service.store.condensing import forget_condensed
from bifurk_service.store.finite import finite_or_null
from bifurk_service.store.models import Attempt, Series, SeriesPoint, Snapshot, StoredMark

MOST_COUNTED: Final = 1 << 53
"""More is kept as this: every count up to it is exact in float64 too, and two of them, added,
still fit a signed 64-bit column."""

_POINTS: Final = (
    select(Series.name, Series.id, SeriesPoint)
    .outerjoin(
        SeriesPoint,
        (SeriesPoint.series_id == Series.id)
        & (SeriesPoint.attempt_id == bindparam("attempt"))
        & (SeriesPoint.step == bindparam("step")),
    )
    .where(Series.run_id == bindparam("run"))
)
"""A run's series, each with its point at a step of an attempt."""


def keep_scalars(
    session: Session,
    attempt: Attempt,
    step: int,
    scalars: Mapping[str, ScalarSummary],
    *,
    last: bool = True,
) -> None:
    """Keeps what was logged up to a step; what is there for that step already is added to.

    Args:
        last: whether it was logged after what is there. A part's was not: where something is
            there, its attempt's last words have overtaken it.
    """
    if not scalars:
        return
    at = {"run": attempt.run_id, "attempt": attempt.id, "step": step}
    known = {name: (one, point) for name, one, point in session.execute(_POINTS, at)}
    for name, scalar in scalars.items():
        series_id, earlier = known.get(name, (None, None))
        if series_id is None:
            series = Series(run_id=attempt.run_id, name=name)
            session.add(series)
            session.flush()
            series_id = series.id
        if earlier is None:
            key = {"series_id": series_id, "attempt_id": attempt.id, "step": step}
            session.add(_point(key, scalar))
        else:
            _add(earlier, scalar, last=last)


def keep_marks(session: Session, snapshot: Snapshot, marks: Iterable[Mark]) -> None:
    """Keeps the marks that came with a snapshot."""
    session.add_all(
        StoredMark(
            snapshot_id=snapshot.id, kind=mark.kind, step=mark.step, details=dict(mark.details)
        )
        for mark in marks
    )


def keep_last_words(session: Session, attempt: Attempt, report: AttemptReport) -> None:
    """Keeps what was said after the last snapshot; it is told with the end of the attempt."""
    if attempt.last_step is not None and attempt.last_sequence is not None:
        forget_condensed(session, attempt, attempt.last_sequence)
        keep_scalars(session, attempt, attempt.last_step, report.scalars, last=True)
    last = session.scalar(
        select(Snapshot)
        .where(Snapshot.attempt_id == attempt.id)
        .order_by(Snapshot.sequence.desc())
        .limit(1)
    )
    if last is not None:
        keep_marks(session, last, report.marks)


def _point(key: Mapping[str, int], scalar: ScalarSummary) -> SeriesPoint:
    return SeriesPoint(
        **key,
        last=finite_or_null(scalar.last),
        mean=finite_or_null(scalar.mean),
        min=finite_or_null(scalar.min),
        max=finite_or_null(scalar.max),
        count=min(scalar.count, MOST_COUNTED),
    )


def _add(point: SeriesPoint, scalar: ScalarSummary, *, last: bool) -> None:
    """The summary of both intervals together; a value that is not finite leaves none."""
    count = point.count + scalar.count
    if point.mean is not None:
        point.mean = finite_or_null((point.mean * point.count + scalar.mean * scalar.count) / count)
    if point.min is not None:
        point.min = finite_or_null(min(point.min, scalar.min))
    if point.max is not None:
        point.max = finite_or_null(max(point.max, scalar.max))
    point.count = min(count, MOST_COUNTED)
    if last:
        point.last = finite_or_null(scalar.last)
