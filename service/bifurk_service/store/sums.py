"""What runs have stored, by sums that the database keeps: no answer counts what lies behind it.

Triggers keep them, in whatever way rows come and go: see ``AttemptSums``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import Attempt, AttemptSums, Snapshot
from bifurk_service.store.snapshots import FAILED, JUDGED, LATE, MEASURED, RECEIVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Those of a run, over all its attempts; named as ``AttemptSums`` names them."""

    snapshots: int
    received: int
    measured: int
    judged: int
    late: int
    failed: int
    judged_on_grid: int
    with_values: int
    whole: int
    blob_bytes: int
    spectra: int
    spectrum_bytes: int
    extremes_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An attempt's judged snapshots on the grid.

    Attributes:
        count: how many. last_step: of the last, None without any.
        interval_steps: between the last two, None where there is only one.
    """

    count: int
    last_step: int | None
    interval_steps: int | None


def sums_of(session: Session, run_id: int) -> Sums:
    """A run's sums."""
    columns = (func.sum(getattr(AttemptSums, field.name)) for field in fields(Sums))
    row = session.execute(
        select(*columns)
        .join(Attempt, Attempt.id == AttemptSums.attempt_id)
        .where(Attempt.run_id == run_id)
    ).one()
    return Sums(
        **{field.name: int(value or 0) for field, value in zip(fields(Sums), row, strict=True)}
    )


def snapshot_counts(session: Session, run_id: int) -> dict[str, int]:
    """Number of a run's snapshots by state."""
    sums = sums_of(session, run_id)
    return {state: getattr(sums, state) for state in (RECEIVED, MEASURED, JUDGED, LATE, FAILED)}


def snapshot_totals(session: Session, run_ids: Sequence[int]) -> dict[int, int]:
    """By run, how many snapshots have come; without runs that have no attempt."""
    query = (
        select(Attempt.run_id, func.sum(AttemptSums.snapshots))
        .join(AttemptSums, AttemptSums.attempt_id == Attempt.id)
        .where(Attempt.run_id.in_(run_ids))
        .group_by(Attempt.run_id)
    )
    return {run_id: int(count) for run_id, count in session.execute(query)}


def judged_so_far(session: Session, attempt_id: int) -> Judged:
    """How far judging an attempt has come."""
    count = session.scalar(
        select(AttemptSums.judged_on_grid).where(AttemptSums.attempt_id == attempt_id)
    )
    newest = session.scalars(
        select(Snapshot.step)
        .where(
            Snapshot.attempt_id == attempt_id,
            Snapshot.state == JUDGED,
            Snapshot.off_grid.is_(False),
        )
        .order_by(Snapshot.sequence.desc())
        .limit(2)
    ).all()
    return Judged(
        count=count or 0,
        last_step=newest[0] if newest else None,
        interval_steps=newest[0] - newest[1] if len(newest) > 1 else None,
    )


def measured_until(session: Session, run_id: int, step: int | None = None) -> tuple[int, int]:
    """How many snapshots of a run are measured, and the last step of them; -1 without any.

    They are measured in no certain order: as many up to a step as there were means the same ones.

    Args:
        step: only those up to this one; what lies beyond it is counted, and taken off.
    """
    count = sums_of(session, run_id).with_values
    own = (Snapshot.attempt_id == Attempt.id) & Snapshot.measured_at.is_not(None)
    if step is not None:
        beyond = (
            select(func.count())
            .select_from(Attempt)
            .join(Snapshot, own & (Snapshot.step > step))
            .where(Attempt.run_id == run_id)
        )
        count -= session.scalar(beyond) or 0
        own &= Snapshot.step <= step
    newest = select(Snapshot.step).where(own).order_by(Snapshot.step.desc()).limit(1)
    lasts = select(newest.correlate(Attempt).scalar_subquery()).where(Attempt.run_id == run_id)
    return count, max((last for last in session.scalars(lasts) if last is not None), default=-1)
