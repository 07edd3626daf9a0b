"""What is never thinned: what alerts stand on, and what people have pinned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.errors import ConflictError, NotFoundError
from bifurk_service.store.models import Attempt, Pin, StoredAlert, StoredDirective

AROUND: Final = 8
"""Snapshots before and after an alert's onset and its detection that stay whole."""
MOST_PINS: Final = 100
"""Of one run, made by hand."""


def kept_whole(
    session: Session, attempt: Attempt, sequences: NDArray[np.int64], steps: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of an attempt's consecutive snapshots alerts and people keep whole, bool [N].

    Args:
        sequences, steps: of the snapshots, int64 [N], ascending; those around them count as well.
    """
    kept = np.zeros(len(sequences), dtype=np.bool_)
    alerts = select(
        StoredAlert.onset_first_step, StoredAlert.onset_last_step, StoredAlert.detected_sequence
    ).where(StoredAlert.attempt_id == attempt.id)
    for onset, onset_end, detected in session.execute(alerts):
        at = np.searchsorted(steps, [onset, onset_end])
        kept |= _near(np.arange(len(steps)), at[0]) | _near(np.arange(len(steps)), at[1])
        kept |= _near(sequences, detected)
    asked = (
        select(StoredAlert.onset_first_step, StoredDirective.last_step)
        .join(StoredAlert, StoredAlert.id == StoredDirective.alert_id)
        .where(StoredDirective.attempt_id == attempt.id)
    )
    for first, end in session.execute(asked):
        kept |= (steps >= first) & (steps < end)
    for one in pins_of(session, attempt.run_id):
        kept |= (steps >= one.first_step) & (steps <= one.last_step)
    return kept


def pin(session: Session, run_id: int, first_step: int, last_step: int, *, now: float) -> Pin:
    """Keeps steps of a run whole, both ends included; the same again is the same pin.

    Raises:
        ConflictError: the run has as many pins as it may.
    """
    known = pins_of(session, run_id)
    for one in known:
        if (one.first_step, one.last_step) == (first_step, last_step):
            return one
    if len(known) >= MOST_PINS:
        raise ConflictError(f"run {run_id} has {len(known)} pins, the most a run may: remove some")
    made = Pin(run_id=run_id, first_step=first_step, last_step=last_step, created_at=now)
    session.add(made)
    session.flush()
    return made


def pins_of(session: Session, run_id: int) -> Sequence[Pin]:
    """A run's pins by their first step."""
    query = select(Pin).where(Pin.run_id == run_id).order_by(Pin.first_step, Pin.id)
    return session.scalars(query).all()


def unpin(session: Session, run_id: int, pin_id: int) -> None:
    """Takes a pin away.

    Raises:
        NotFoundError: the run has none of this id.
    """
    found = session.get(Pin, pin_id)
    if found is None or found.run_id != run_id:
        raise NotFoundError(f"run {run_id} has no pin {pin_id}")
    session.delete(found)


def _near(places: NDArray[np.int64], place: int) -> NDArray[np.bool_]:
    return np.abs(places - place) <= AROUND
