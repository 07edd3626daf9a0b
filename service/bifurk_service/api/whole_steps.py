"""Snapshots of which all is kept: what is compared has to be there on both sides."""

from __future__ import annotations

from bifurk_service.errors import NotFoundError
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Snapshot
from bifurk_service.store.queries import snapshot_at
from bifurk_service.store.timeline import timeline
from bifurk_service.store.whole_steps import nearest_whole


def whole_snapshot(
    session: Session, run_id: int, step: int | None, attempt: str | None = None
) -> Snapshot:
    """As ``snapshot_at``, of those that are not thinned.

    Raises:
        NotFoundError: there is no such step, or it is thinned; names the nearest that is whole.
    """
    snapshot = snapshot_at(session, run_id, step, attempt)
    if not snapshot.thinned:
        return snapshot
    nearest = nearest_whole(session, timeline(session, run_id, attempt), snapshot.step)
    hint = "none is whole" if nearest is None else f"the nearest that is whole is {nearest}"
    raise NotFoundError(
        f"step {snapshot.step} of run {run_id} is thinned: of its stretch only the least and "
        f"greatest values are kept; {hint}",
        where="step",
    )
