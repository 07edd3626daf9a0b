"""What is stored at a step: the snapshot, and the statistics of its tensors."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.errors import NotFoundError
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.carried_steps import nearest_carried
from bifurk_service.store.models import TENSOR_STATS, Attempt, Snapshot, Tensor
from bifurk_service.store.nearest import nearest_rows
from bifurk_service.store.reasons import statistics_told


def get_tensor(session: Session, run_id: int, tensor_id: int) -> Tensor:
    """A tensor of a run.

    Raises:
        NotFoundError: the run has none of this id.
    """
    tensor = session.get(Tensor, tensor_id)
    if tensor is None or tensor.run_id != run_id:
        raise NotFoundError(
            f"run {run_id} has no tensor {tensor_id}; "
            f"`GET /api/v1/runs/{run_id}/tensors` lists them"
        )
    return tensor


def snapshot_at(
    session: Session, run_id: int, step: int | None, attempt: str | None = None
) -> Snapshot:
    """A run's snapshot at a step, of the newest attempt that has it; None: the last one measured.

    Args:
        attempt: only of this one.

    Raises:
        NotFoundError: there is none; names the nearest step that there is.
    """
    own = select(Attempt.id).where(Attempt.run_id == run_id).order_by(Attempt.id.desc())
    if attempt is not None:
        own = own.where(Attempt.slug == attempt)
    attempts = session.scalars(own).all()
    for attempt_id in attempts:
        found = _last_measured(session, attempt_id, step)
        if found is not None:
            return found
    of = f"run {run_id}" if attempt is None else f"attempt {attempt!r} of run {run_id}"
    if step is None:
        raise NotFoundError(f"{of} has no measured snapshot yet")
    nearest = _nearest_step(session, attempts, step)
    hint = "there is none yet" if nearest is None else f"the nearest is at step {nearest}"
    raise NotFoundError(f"{of} has no measured snapshot at step {step}; {hint}", where="step")


def _nearest_step(session: Session, attempt_ids: Sequence[int], step: int) -> int | None:
    """The measured step of some attempts that is nearest to one, of two as near the earlier."""
    found = []
    for attempt_id in attempt_ids:
        own = select(Snapshot.step).where(
            Snapshot.attempt_id == attempt_id, Snapshot.measured_at.is_not(None)
        )
        before = own.where(Snapshot.step <= step).order_by(Snapshot.step.desc())
        after = own.where(Snapshot.step >= step).order_by(Snapshot.step)
        found += [session.scalar(query.limit(1)) for query in (before, after)]
    known = sorted(one for one in found if one is not None)
    return min(known, key=lambda one: abs(one - step), default=None)


def _last_measured(session: Session, attempt_id: int, step: int | None) -> Snapshot | None:
    """An attempt's newest measured snapshot, or that at a step."""
    own = select(Snapshot).where(
        Snapshot.attempt_id == attempt_id, Snapshot.measured_at.is_not(None)
    )
    chosen = own if step is None else own.where(Snapshot.step == step)
    return session.scalar(chosen.order_by(Snapshot.step.desc()).limit(1))


def statistics_of(
    session: Session, tensor: Tensor, snapshot: Snapshot
) -> tuple[dict[str, float | None], dict[str, str]]:
    """All statistics of a tensor at a snapshot, and the reasons of those without a value.

    Raises:
        NotFoundError: the snapshot does not carry this tensor; names the nearest step that does.
    """
    row = (
        session.execute(
            statistics_told().where(
                TENSOR_STATS.c.tensor_id == tensor.id,
                TENSOR_STATS.c.attempt_id == snapshot.attempt_id,
                TENSOR_STATS.c.step == snapshot.step,
            )
        )
        .mappings()
        .first()
    )
    if row is None:
        raise not_carried(session, tensor, snapshot.step, thinned=snapshot.thinned > 0)
    return {name: row[name] for name in STATISTIC_NAMES}, dict(row["no_value"] or {})


def not_carried(
    session: Session, tensor: Tensor, step: int, *, thinned: bool = False
) -> NotFoundError:
    """What to raise where a snapshot is stored and does not carry a tensor, or no longer."""
    nearest = nearest_carried(session, "statistics", tensor, step)
    hint = "no step does yet" if nearest is None else f"the nearest that does is step {nearest}"
    if thinned:
        return NotFoundError(
            f"step {step} is thinned: of its stretch only the least and greatest values are kept, "
            f"which `series` shows; {hint}",
            where="step",
        )
    return NotFoundError(
        f"step {step} does not carry tensor {tensor.id} ({tensor.name}); {hint}", where="step"
    )


def latest_values(
    session: Session, attempt_id: int, statistic: str, *, step: int
) -> dict[int, tuple[int, float]]:
    """By tensor, step and value of the newest that a statistic has at or before a step."""
    table = TENSOR_STATS.c
    rows = nearest_rows(
        session,
        TENSOR_STATS,
        (table.tensor_id, table.step, table[statistic]),
        attempt_id,
        step=step,
        with_value=statistic,
    )
    return {tensor_id: (at, value) for tensor_id, at, value in rows}
