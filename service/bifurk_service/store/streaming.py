"""A run's series read a stretch of bounded length at a time, for downloads of any length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.engine import Database
from bifurk_service.store.imports import imported_series
from bifurk_service.store.models import Snapshot
from bifurk_service.store.near import Steps
from bifurk_service.store.series import StatisticSeries, statistic_series
from bifurk_service.store.timeline import Stretch, timeline

SNAPSHOTS_AT_ONCE: Final = 5_000
"""Of a tensor, read before they are sent."""


def streamed_series(
    database: Database,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    attempt: str | None = None,
) -> Iterator[StatisticSeries]:
    """Series of tensors along a run, one tensor after the other, each in parts by ascending steps.

    Each read is a session of its own: a slow receiver holds no transaction open.

    Args:
        statistic: of the table, or one that the run has brought.
    """
    ranges = step_ranges(database, run_id, attempt)
    for tensor_id in tensor_ids:
        for between in ranges:
            yield from series_between(
                database, run_id, statistic, [tensor_id], between, attempt=attempt
            )


def series_between(
    database: Database,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    between: Steps,
    *,
    attempt: str | None = None,
) -> list[StatisticSeries]:
    """Series of tensors between two steps, in a session of its own."""
    first, last = between
    with database.read() as session:
        if statistic in BY_NAME:
            found = statistic_series(
                session,
                run_id,
                statistic,
                tensor_ids,
                first_step=first,
                last_step=last,
                attempt=attempt,
            )
        else:
            found = imported_series(
                session, run_id, statistic, tensor_ids, first_step=first, last_step=last
            )
        return list(found)


def step_ranges(database: Database, run_id: int, attempt: str | None = None) -> list[Steps]:
    """A run's course cut into ranges of steps with at most ``SNAPSHOTS_AT_ONCE`` snapshots each."""
    with database.read() as session:
        return [
            steps
            for stretch in timeline(session, run_id, attempt)
            for steps in _ranges(session, stretch)
        ]


def _ranges(session: Session, stretch: Stretch) -> Iterator[Steps]:
    query = select(Snapshot.step).where(Snapshot.attempt_id == stretch.attempt_id)
    if stretch.end is not None:
        query = query.where(Snapshot.step < stretch.end)
    last = session.scalar(query.order_by(Snapshot.step.desc()).limit(1))
    first: int | None = stretch.first
    while first is not None and last is not None and first <= last:
        behind = query.where(Snapshot.step >= first).order_by(Snapshot.step)
        following = session.scalar(behind.offset(SNAPSHOTS_AT_ONCE).limit(1))
        yield first, last if following is None else following - 1
        first = following
