"""The detectors' memory of an attempt, put away and taken up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy.orm import Session

from bifurk_service.store.models import DetectorState, Thinning
from bifurk_service.store.state_pieces import Place, piece_at


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """A memory, the sequence it is as of, and the definition of the detectors that wrote it.

    Attributes:
        pieces: where it lies, in order.
        whole: what an earlier version wrote instead, in one value.
    """

    definition: str
    sequence: int
    pieces: tuple[Place, ...] = ()
    whole: bytes = b""


Stored: TypeAlias = DetectorState | Thinning


def saved_in(row: Stored) -> SavedState:
    """What a row tells of a memory."""
    return SavedState(
        definition=row.definition,
        sequence=row.sequence,
        pieces=tuple((sequence, number) for sequence, number in row.pieces or ()),
        whole=row.state,
    )


def load_state(session: Session, attempt_id: int) -> SavedState | None:
    """The attempt's last state, or None before the first."""
    stored = session.get(DetectorState, attempt_id)
    return None if stored is None else saved_in(stored)


def save_state(session: Session, attempt_id: int, saved: SavedState) -> None:
    """Keeps a state, whose pieces are written, in place of the one before."""
    session.merge(
        DetectorState(
            attempt_id=attempt_id,
            definition=saved.definition,
            sequence=saved.sequence,
            state=saved.whole,
            pieces=[list(place) for place in saved.pieces],
        )
    )


def pieces_of(session: Session, attempt_id: int, saved: SavedState) -> Iterator[bytes]:
    """The pieces of a memory in order, one at a time.

    Raises:
        DamagedPieceError: one is missing, or is not what was written.
    """
    for place in saved.pieces:
        yield piece_at(session, attempt_id, place)
