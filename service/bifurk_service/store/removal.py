"""Runs on their way out: nobody sees them any more, and their rows go a few at a time.

A run's slug begins with a dot then, which none that a client may send does: its name is free at
once. Runs that are being brought in are hidden likewise until they are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, FromClause, delete, select, tuple_, union_all, update
from sqlalchemy.orm import Session

from bifurk_service.domain import AttemptState
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    DetectorPiece,
    Event,
    ExtremesRow,
    ImportedValue,
    KeptExtremesRow,
    Pin,
    ProfileValue,
    Project,
    Run,
    RunTag,
    Series,
    SeriesPoint,
    Snapshot,
    SpectrumRow,
    StoredAlert,
    StoredPart,
    Token,
)
from bifurk_service.store.runs import delete_run, get_run
from bifurk_service.store.shown import is_shown
from bifurk_service.store.snapshots import FAILED, MEASURED, RECEIVED

GOING: Final = ".removed-"
COMING: Final = ".coming-"
COMING_SECONDS: Final = 3600.0
"""A run that has been brought in for so long without news will not be any more."""
ROWS_AT_ONCE: Final = 1_000
SNAPSHOTS_AT_ONCE: Final = 100
PIECES_AT_ONCE: Final = 20
"""Of detectors' memories: one has some MiB at most."""

_LARGE: Final[Mapping[FromClause, int]] = {
    TENSOR_STATS: ROWS_AT_ONCE,
    SpectrumRow.__table__: ROWS_AT_ONCE,
    ProfileValue.__table__: ROWS_AT_ONCE,
    ExtremesRow.__table__: 200,
    KeptExtremesRow.__table__: 200,
    ImportedValue.__table__: ROWS_AT_ONCE,
    DetectorPiece.__table__: PIECES_AT_ONCE,
}
"""Tables with more rows of a run than one transaction should delete, and how many it may."""


def hide_run(session: Session, run_id: int) -> None:
    """Takes a run out of sight, and out of the pipeline's hands; its name is free from here on."""
    run = get_run(session, run_id)
    run.slug = f"{GOING}{run.id}"
    attempts = select(Attempt.id).where(Attempt.run_id == run_id)
    session.execute(
        update(Snapshot)
        .where(Snapshot.attempt_id.in_(attempts), Snapshot.state.in_((RECEIVED, MEASURED)))
        .values(state=FAILED)
    )
    session.execute(
        update(Attempt)
        .where(Attempt.run_id == run_id, Attempt.state == AttemptState.RUNNING.value)
        .values(state=AttemptState.FINISHED.value, ended_at=0.0)
    )
    for table in (StoredAlert, Event, RunTag, Pin):
        session.execute(delete(table).where(table.run_id == run_id))


def runs_to_remove(session: Session, *, now: float) -> list[int]:
    """Runs whose removal is not complete, and those whose coming was broken off."""
    abandoned = Run.slug.startswith(COMING) & (Run.updated_at < now - COMING_SECONDS)
    query = select(Run.id).where(Run.slug.startswith(GOING) | abandoned)
    return list(session.scalars(query.order_by(Run.id)))


def next_blobs(session: Session, run_id: int) -> tuple[list[int], list[str]]:
    """Some of a hidden run's parts, and the keys of their blobs; empty where none are left."""
    rows = session.execute(
        select(StoredPart.id, StoredPart.blob_key, StoredPart.stale_key)
        .join(Snapshot, Snapshot.id == StoredPart.snapshot_id)
        .join(Attempt, Attempt.id == Snapshot.attempt_id)
        .join(Run, Run.id == Attempt.run_id)
        .where(Run.id == run_id, ~is_shown())
        .limit(SNAPSHOTS_AT_ONCE)
    ).all()
    return [row[0] for row in rows], [key for row in rows for key in row[1:] if key]


def forget_parts(session: Session, part_ids: list[int]) -> None:
    """Deletes receipts whose blobs are gone."""
    session.execute(delete(StoredPart).where(StoredPart.id.in_(part_ids)))


def remove_rows(session: Session, run_id: int) -> bool:
    """Deletes some of a hidden run's rows, in the end the run; whether there is more to do.

    One that was brought in to its end meanwhile is hidden no more, and stays.
    """
    run = session.scalar(select(Run).where(Run.id == run_id, ~is_shown()))
    if run is None:
        return False
    attempts = select(Attempt.id).where(Attempt.run_id == run_id)
    for table, most in _LARGE.items():
        if _delete_some(session, table, table.c.attempt_id.in_(attempts), most):
            return True
    own_series = select(Series.id).where(Series.run_id == run_id)
    points = SeriesPoint.__table__
    if _delete_some(session, points, points.c.series_id.in_(own_series), ROWS_AT_ONCE):
        return True
    snapshots = Snapshot.__table__
    if _delete_some(session, snapshots, snapshots.c.attempt_id.in_(attempts), SNAPSHOTS_AT_ONCE):
        return True
    project_id, was_coming = run.project_id, run.slug.startswith(COMING)
    delete_run(session, run_id)
    if was_coming:
        _delete_if_empty(session, project_id)
    return False


def _delete_if_empty(session: Session, project_id: int) -> None:
    """A project that was made for a run that did not come goes with it."""
    used = (
        select(column.label("id")).where(column == project_id)
        for column in (Run.project_id, Token.project_id)
    )
    if session.execute(union_all(*used).limit(1)).first() is None:
        session.execute(delete(Project).where(Project.id == project_id))


def _delete_some(
    session: Session, table: FromClause, chosen: ColumnElement[bool], most: int
) -> bool:
    key = list(table.primary_key)
    found = session.execute(select(*key).where(chosen).limit(most)).all()
    if found:
        rows = [tuple(row) for row in found]
        session.execute(delete(table).where(tuple_(*key).in_(rows)))  # type: ignore[arg-type]
    return bool(found)
