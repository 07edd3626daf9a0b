"""The state of trainings that run now or ended lately, as the metrics show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.domain import AttemptState
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    Project,
    Run,
    Snapshot,
    Tensor,
)
from bifurk_service.store.shown import is_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A run as metrics show it, by its newest attempt.

    Attributes:
        last_step: of the newest measured snapshot. last_received_at: when the newest snapshot came.
        dropped: snapshots that never came, by reason, over all attempts.
    """

    run_id: int
    project: str
    run: str
    attempt_id: int
    state: str
    last_step: int | None
    last_received_at: float | None
    overhead_ratio: float | None
    dropped: dict[str, int]


def live_runs(session: Session, *, ended_after: float) -> list[LiveRun]:
    """Runs whose newest attempt runs, or ended after this time; newest first."""
    newest = select(func.max(Attempt.id)).group_by(Attempt.run_id)
    is_live = (Attempt.state == AttemptState.RUNNING.value) | (Attempt.ended_at > ended_after)
    rows = session.execute(
        select(Attempt, Run.slug, Project.slug)
        .join(Run, Attempt.run_id == Run.id)
        .join(Project, Run.project_id == Project.id)
        .where(Attempt.id.in_(newest), is_live, is_shown())
        .order_by(Attempt.id.desc())
    )
    return [_live(session, attempt, run, project) for attempt, run, project in rows]


def _live(session: Session, newest: Attempt, run: str, project: str) -> LiveRun:
    by_step = (
        select(Snapshot.step, Snapshot.received_at)
        .where(Snapshot.attempt_id == newest.id)
        .order_by(Snapshot.step.desc())
        .limit(1)
    )
    measured = session.execute(by_step.where(Snapshot.measured_at.is_not(None))).first()
    received = session.execute(by_step).first()
    dropped: dict[str, int] = {}
    losses = select(Attempt.dropped).where(Attempt.run_id == newest.run_id)
    for lost in session.scalars(losses):
        for reason, count in lost.items():
            dropped[reason] = dropped.get(reason, 0) + int(count)
    return LiveRun(
        run_id=newest.run_id,
        project=project,
        run=run,
        attempt_id=newest.id,
        state=newest.state,
        last_step=None if measured is None else measured.step,
        last_received_at=None if received is None else received.received_at,
        overhead_ratio=newest.overhead_ratio,
        dropped=dropped,
    )


def latest_by_role(
    session: Session, run: LiveRun, statistics: Sequence[str]
) -> dict[str, list[tuple[float | None, ...]]]:
    """The newest values of some statistics: a role's tensors, a tuple a tensor."""
    rows = session.execute(
        select(Tensor.role, *(TENSOR_STATS.c[name] for name in statistics))
        .join(Tensor, TENSOR_STATS.c.tensor_id == Tensor.id)
        .where(TENSOR_STATS.c.attempt_id == run.attempt_id, TENSOR_STATS.c.step == run.last_step)
    )
    by_role: dict[str, list[tuple[float | None, ...]]] = {}
    for role, *values in rows:
        by_role.setdefault(role, []).append(tuple(values))
    return by_role
