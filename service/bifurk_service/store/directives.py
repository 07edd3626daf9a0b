"""What an alert asks the client for, and the stretch of the run that is kept in full for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.orm import Session

from bifurk_service.domain import AttemptState
from bifurk_service.store.models import Attempt, Snapshot, StoredAlert, StoredDirective, Tensor
from bifurk_service.store.runs import CLIENT

INTERVALS: Final = 4
"""For how long more is asked for, in the run's own intervals between snapshots."""
TIMES_AS_OFTEN: Final = 4
"""How many snapshots stand meanwhile where one stood before."""
MOST_TENSORS: Final = 64
"""Of an alert, the first to begin: full values are large."""
MOST_A_RUN: Final = 10
"""Alerts of one run that may ask: what they pin stays on the disk."""

_WISHES: Final = (
    select(StoredDirective)
    .where(
        StoredDirective.attempt_id == bindparam("attempt"),
        StoredDirective.last_step > bindparam("next"),
    )
    .order_by(StoredDirective.id)
)


def ask_for_more(
    session: Session, alert: StoredAlert, snapshot: Snapshot, *, now: float
) -> StoredDirective | None:
    """Notes what an alert wants to see, from the next step on; one that asks again asks anew.

    Nothing is asked of an attempt that has ended, of one whose snapshots come from no client, for
    an alert that names no tensor, or once the run's alerts have asked often enough.

    Args:
        session: to write with. alert: raised now, or graver. snapshot: the one it was seen at.
        now: seconds since 1970 UTC.
    """
    attempt = session.get_one(Attempt, alert.attempt_id)
    listens = attempt.source == CLIENT and attempt.state == AttemptState.RUNNING.value
    known = session.scalar(select(StoredDirective).where(StoredDirective.alert_id == alert.id))
    if not listens or (known is None and _asked(session, alert.run_id) >= MOST_A_RUN):
        return None
    ids = [tensor["id"] for tensor in alert.tensors[:MOST_TENSORS]]
    names = list(session.scalars(select(Tensor.name).where(Tensor.id.in_(ids)).order_by(Tensor.id)))
    if not names:
        return None
    interval = _interval_steps(session, snapshot)
    directive = known or StoredDirective(
        attempt_id=attempt.id, alert_id=alert.id, first_step=snapshot.step + 1, created_at=now
    )
    directive.tensors, directive.every = names, max(1, interval // TIMES_AS_OFTEN)
    directive.last_step = snapshot.step + INTERVALS * interval + 1
    session.add(directive)
    session.flush()
    return directive


def wishes(session: Session, attempt: Attempt) -> list[dict[str, Any]]:
    """The directives that an attempt's future steps still fall under, as replies carry them."""
    newest = attempt.last_step if attempt.last_step is not None else -1
    rows = session.scalars(_WISHES, {"attempt": attempt.id, "next": newest + 1})
    return [
        {
            "tensors": row.tensors,
            "every": row.every,
            "first_step": row.first_step,
            "last_step": row.last_step,
        }
        for row in rows
    ]


def is_pinned() -> ColumnElement[bool]:
    """For a query over snapshots: whether an alert keeps this one's full values.

    The stretch goes from the alert's onset to the end of what it asks for.
    """
    return (
        select(StoredDirective.id)
        .join(StoredAlert, StoredAlert.id == StoredDirective.alert_id)
        .where(
            StoredDirective.attempt_id == Snapshot.attempt_id,
            StoredAlert.onset_first_step <= Snapshot.step,
            StoredDirective.last_step > Snapshot.step,
        )
        .exists()
    )


def pinned_snapshots(session: Session, snapshot_ids: Sequence[int]) -> set[int]:
    """Those of these snapshots that alerts keep in full."""
    return set(
        session.scalars(select(Snapshot.id).where(Snapshot.id.in_(snapshot_ids), is_pinned()))
    )


def _asked(session: Session, run_id: int) -> int:
    query = (
        select(func.count())
        .select_from(StoredDirective)
        .join(Attempt, Attempt.id == StoredDirective.attempt_id)
        .where(Attempt.run_id == run_id)
    )
    return session.scalar(query) or 0


def _interval_steps(session: Session, snapshot: Snapshot) -> int:
    """Steps between this snapshot and the one before it on the grid, at least 1."""
    previous = session.scalar(
        select(func.max(Snapshot.step)).where(
            Snapshot.attempt_id == snapshot.attempt_id,
            Snapshot.off_grid.is_(False),
            Snapshot.step < snapshot.step,
        )
    )
    return snapshot.step - previous if previous is not None else 1
