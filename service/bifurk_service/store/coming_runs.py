"""Brings a whole run in: hidden until it is whole, a few rows at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bifurk_service.domain import AttemptState
from bifurk_service.errors import ConflictError, InvalidError
from bifurk_service.store.coming_rows import WAITING, Coming, Renumbering, new_id, translated
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    Project,
    Run,
    Snapshot,
    Tensor,
)
from bifurk_service.store.reasons import reasons_ids
from bifurk_service.store.removal import COMING
from bifurk_service.store.snapshots import MEASURED, RECEIVED
from bifurk_service.store.whole_runs import REFERENCES, Row, find_name, table_of

LAST: Final = frozenset({"alerts", "alert_changes", "directives"})
"""What people would see at once: it comes with the run's name."""


def begin_coming(
    session: Session,
    row: Row,
    *,
    token: str,
    renumbered: Renumbering,
    now: float,
) -> Coming:
    """A hidden run in its project, which is made where it is new.

    Raises:
        ConflictError: a run of this name is there.
    """
    check_free(session, row["project"], row["run"])
    project = session.scalar(select(Project).where(Project.slug == row["project"]))
    if project is None:
        project = Project(slug=row["project"], created_at=now)
        session.add(project)
        session.flush()
    run = Run(
        project_id=project.id,
        slug=f"{COMING}{token}",
        display_name=row["display_name"],
        created_at=row["created_at"],
        updated_at=now,
        retention_days=row["retention_days"],
        keep_bytes=row["keep_bytes"],
    )
    session.add(run)
    session.flush()
    return Coming(run_id=run.id, renumbered=renumbered, ids={"runs": {0: run.id}})


def check_free(session: Session, project: str, run: str) -> None:
    """Raises ``ConflictError`` where a run of this name is there."""
    if find_name(session, project, run) is not None:
        raise ConflictError(
            f"{project}/{run} is there already; bring it in under another name (--run), or remove "
            "that one first (bifurk runs rm)"
        )


def bring_in(
    session: Session, coming: Coming, name: str, rows: Sequence[Row], *, now: float
) -> None:
    """Stores rows of one table; those they refer to have come before.

    Raises:
        InvalidError: they refer to what has not, or contradict each other.
    """
    if not rows:
        return
    table = table_of(name)
    old = [row.pop("id", None) for row in rows] if "id" in table.c else []
    made = [translated(coming, name, row) for row in rows]
    if table is TENSOR_STATS:
        _keep_reasons(session, coming, made)
    if name not in LAST:
        session.get_one(Run, coming.run_id).updated_at = now
    try:
        if not _has_children(name):
            session.execute(insert(table), made)
            return
        statement = insert(table).returning(table.c.id, sort_by_parameter_order=True)
        new = session.scalars(statement, made).all()
    except IntegrityError as error:
        raise InvalidError(f"rows of {name} contradict each other: {error.orig}") from error
    coming.ids.setdefault(name, {}).update(zip(old, new, strict=True))
    if name == "attempts":
        for number, row in zip(new, rows, strict=True):
            coming.attempts[number] = row["cursor"], row["state"]
    if name == "tensors":
        _join_pieces(session, coming, dict(zip(new, rows, strict=True)))


def end_coming(session: Session, coming: Coming, *, project: str, run: str, now: float) -> None:
    """Gives the run its name; from here on it is a run like any other.

    Raises:
        ConflictError: a run of this name has come meanwhile.
    """
    check_free(session, project, run)
    stored = session.get_one(Run, coming.run_id)
    stored.slug, stored.updated_at = run, now
    for attempt_id, (cursor, state) in coming.attempts.items():
        attempt = session.get_one(Attempt, attempt_id)
        attempt.cursor, attempt.state = cursor, state
        if state == AttemptState.RUNNING.value:
            attempt.seen_at = now
    for state in (RECEIVED, MEASURED):
        session.execute(
            update(Snapshot)
            .where(Snapshot.attempt_id.in_(coming.attempts), Snapshot.state == WAITING + state)
            .values(state=state)
        )


def _keep_reasons(session: Session, coming: Coming, rows: Sequence[Row]) -> None:
    ids = reasons_ids(session, coming.run_id, [row.pop("no_value") for row in rows])
    for row, reasons_id in zip(rows, ids, strict=True):
        row["reasons_id"] = reasons_id


def _has_children(name: str) -> bool:
    return any(name in parents.values() for parents in REFERENCES.values())


def _join_pieces(session: Session, coming: Coming, rows: Mapping[int, Row]) -> None:
    """A fused tensor may come after its pieces, so that these are joined when all are there."""
    for number, row in rows.items():
        if row["piece_of"] is not None:
            session.get_one(Tensor, number).piece_of = new_id(coming, "tensors", row["piece_of"])
