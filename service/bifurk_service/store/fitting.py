"""Whether a part fits what is stored of its run and attempt."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, select, union_all
from sqlalchemy.orm import Session

from bifurk.wire import Manifest
from bifurk_service.errors import ConflictError
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.runs import CLIENT

_STEPS: Final = select(Snapshot.sequence, Snapshot.step).where(
    Snapshot.attempt_id == bindparam("attempt")
)
_UPTO: Final = _STEPS.where(Snapshot.sequence <= bindparam("sequence"))
_BEYOND: Final = _STEPS.where(Snapshot.sequence > bindparam("sequence"))
_AROUND: Final = union_all(
    select(_UPTO.order_by(Snapshot.sequence.desc()).limit(1).subquery()),
    select(_BEYOND.order_by(Snapshot.sequence).limit(1).subquery()),
)
"""An attempt's last snapshot up to a sequence, and its first beyond."""


def check_source(session: Session, run_id: int) -> None:
    """Raises ``ConflictError`` where a run holds imported series: no snapshots join them."""
    query = select(Attempt.slug).where(Attempt.run_id == run_id, Attempt.source != CLIENT)
    imported = session.scalars(query).first()
    if imported is not None:
        raise ConflictError(
            f"the run holds imported series (attempt {imported}) and takes no snapshots beside "
            "them; name another run"
        )


def check_step(session: Session, attempt: Attempt, manifest: Manifest) -> int | None:
    """Makes sure that steps ascend with the sequence, each pair for itself.

    What is stored ascends already: only the snapshots on either side can contradict.

    Returns:
        The attempt's last sequence up to the part's, None without any.

    Raises:
        ConflictError: they do not.
    """
    sequence, step = manifest.sequence, manifest.step
    last = None
    around = session.execute(_AROUND, {"attempt": attempt.id, "sequence": sequence})
    for other, at in around.all():
        if other <= sequence:
            last = other
        if (other > sequence, other == sequence) != (at > step, at == step):
            raise ConflictError(
                f"this attempt has sequence {other} at step {at}; "
                f"sequence {sequence} at step {step} contradicts it",
                where="manifest.sequence",
            )
    return last
