"""The detectors' memory of an attempt, put away and taken up."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bifurk_service.store.models import DetectorState


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """A memory, the sequence it is as of, and the definition of the detectors that wrote it."""

    definition: str
    sequence: int
    state: bytes


def load_state(session: Session, attempt_id: int) -> SavedState | None:
    """The attempt's last state, or None before the first."""
    stored = session.get(DetectorState, attempt_id)
    if stored is None:
        return None
    return SavedState(definition=stored.definition, sequence=stored.sequence, state=stored.state)


def save_state(session: Session, attempt_id: int, saved: SavedState) -> None:
    """Keeps a state in place of the one before."""
    session.merge(
        DetectorState(
            attempt_id=attempt_id,
            definition=saved.definition,
            sequence=saved.sequence,
            state=saved.state,
        )
    )
