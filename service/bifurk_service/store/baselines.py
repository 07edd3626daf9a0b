"""What holding runs against good ones reads and asks: how far runs are judged, and their alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import Session, aliased

from bifurk_service.domain import AlertState, AttemptState, Mark
from bifurk_service.store.models import (
    Attempt,
    AttemptSums,
    Project,
    Run,
    Snapshot,
    StoredAlert,
    StoredMark,
)
from bifurk_service.store.shown import is_shown
from bifurk_service.store.timeline import Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun:
    """A run of which something is judged, as far as it is: by its newest attempt that is.

    Attributes:
        cursor: the last judged sequence of the attempt. until: its step.
        behind: how many snapshots came late, or are judged of earlier attempts.
        judged_at: when the last was, in seconds since 1970 UTC.
    """

    run_id: int
    run: str
    attempt_id: int
    is_running: bool
    cursor: int
    until: int
    behind: int
    judged_at: float


def judged_runs(session: Session, project: str) -> list[JudgedRun]:
    """The runs of a project, in the order they were made."""
    newest = (
        select(func.max(Attempt.id))
        .join(Run, Attempt.run_id == Run.id)
        .join(Project, Run.project_id == Project.id)
        .where(Project.slug == project, is_shown(), Attempt.cursor >= 0)
        .group_by(Attempt.run_id)
    )
    rows = session.execute(
        select(
            Run.id, Run.slug, Attempt.id, Attempt.state, Attempt.cursor,
            Snapshot.step, _settled() - AttemptSums.judged, Snapshot.judged_at,
        )
        .join(Attempt, Attempt.run_id == Run.id)
        .join(AttemptSums, AttemptSums.attempt_id == Attempt.id)
        .join(
            Snapshot,
            (Snapshot.attempt_id == Attempt.id) & (Snapshot.sequence == Attempt.cursor),
        )
        .where(Attempt.id.in_(newest))
        .order_by(Run.id)
    )  # fmt: skip
    return [
        JudgedRun(
            run_id=run_id,
            run=run,
            attempt_id=attempt_id,
            is_running=state == AttemptState.RUNNING.value,
            cursor=cursor,
            until=step,
            behind=int(behind),
            judged_at=judged_at or 0.0,
        )
        for run_id, run, attempt_id, state, cursor, step, behind, judged_at in rows
    ]


def _settled() -> ScalarSelect[int]:
    """For a query over runs: how many snapshots of each are judged or late, of all attempts."""
    own = aliased(Attempt)
    return (
        select(func.sum(AttemptSums.judged + AttemptSums.late))
        .join(own, own.id == AttemptSums.attempt_id)
        .where(own.run_id == Run.id)
        .correlate(Run)
        .scalar_subquery()
    )


def is_still_there(session: Session, run: JudgedRun) -> bool:
    """Whether people see a run yet, under the same name."""
    return session.scalar(select(Run.slug).where(Run.id == run.run_id)) == run.run


def place_of(
    session: Session, stretches: Sequence[Stretch], step: int
) -> tuple[Attempt, int] | None:
    """The attempt whose snapshot stands at a step of a run's timeline, and the snapshot's sequence.

    None where there is none any more.
    """
    own = [one for one in stretches if one.holds(step)]
    if not own:
        return None
    row = session.execute(
        select(Attempt, Snapshot.sequence)
        .join(Snapshot, Snapshot.attempt_id == Attempt.id)
        .where(Attempt.id == own[-1].attempt_id, Snapshot.step == step)
    ).first()
    return None if row is None else (row[0], row[1])


def last_mark(session: Session, stretches: Sequence[Stretch], kind: str, step: int) -> Mark | None:
    """The newest mark of a kind along a run's timeline, at a step or earlier."""
    for one in reversed(stretches):
        last = one.last_step(step)
        mark = session.scalar(
            select(StoredMark)
            .join(Snapshot, StoredMark.snapshot_id == Snapshot.id)
            .where(
                Snapshot.attempt_id == one.attempt_id,
                StoredMark.kind == kind,
                StoredMark.step <= last,
            )
            .order_by(StoredMark.step.desc(), StoredMark.id.desc())
            .limit(1)
        )
        if mark is not None:
            return Mark(kind=mark.kind, step=mark.step, details=mark.details)
    return None


def alerts_of_fingerprint(session: Session, run_id: int, fingerprint: str) -> list[StoredAlert]:
    """A run's alerts of one fingerprint, at most one an attempt, oldest first."""
    query = (
        select(StoredAlert)
        .where(StoredAlert.run_id == run_id, StoredAlert.fingerprint == fingerprint)
        .order_by(StoredAlert.id)
    )
    return list(session.scalars(query))


def is_open(alert: StoredAlert) -> bool:
    """Whether it is not resolved."""
    return alert.state != AlertState.RESOLVED.value
