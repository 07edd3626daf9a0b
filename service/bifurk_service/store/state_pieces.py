"""Pieces of detectors' memories: written once, named by the memories that they are part of.

What was written ahead of a memory that did not come to be, and what no memory names any more, is
forgotten later: a process may die between any two transactions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, Final, TypeAlias

from sqlalchemy import delete, func, insert, select, tuple_
from sqlalchemy.orm import Session

from bifurk_service.store.models import DetectorPiece, DetectorState, Thinning

Place: TypeAlias = tuple[int, int]
"""The sequence of the memory that a piece was first part of, and its number there."""
BYTES_AT_ONCE: Final = 16 << 20
"""Of pieces that go in one transaction."""


class DamagedPieceError(RuntimeError):
    """A piece of a memory is missing, or is not what was written."""


def digest_of(data: bytes) -> str:
    """What tells one piece from all others: SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def piece_at(session: Session, attempt_id: int, place: Place) -> bytes:
    """One piece.

    Raises:
        DamagedPieceError: it is missing, or is not what was written.
    """
    sequence, number = place
    found = session.execute(
        select(DetectorPiece.data, DetectorPiece.digest).where(
            DetectorPiece.attempt_id == attempt_id,
            DetectorPiece.sequence == sequence,
            DetectorPiece.number == number,
        )
    ).one_or_none()
    what = f"piece {number} of the memory as of sequence {sequence}"
    if found is None:
        raise DamagedPieceError(f"{what} is missing")
    data: bytes = found.data
    if digest_of(data) != found.digest:
        raise DamagedPieceError(f"{what} is damaged")
    return data


def places_by_digest(session: Session, attempt_id: int) -> dict[str, Place]:
    """Where the pieces of an attempt's saved memory lie."""
    memory = session.scalar(
        select(DetectorState.pieces).where(DetectorState.attempt_id == attempt_id)
    )
    named = _named(memory)
    rows = session.execute(
        select(DetectorPiece.digest, DetectorPiece.sequence, DetectorPiece.number).where(
            DetectorPiece.attempt_id == attempt_id
        )
    )
    return {digest: (at, number) for digest, at, number in rows if (at, number) in named}


def keep_pieces(
    session: Session, attempt_id: int, sequence: int, pieces: Mapping[int, bytes]
) -> None:
    """Writes pieces, by number, of a memory as of a sequence that no saved one has reached."""
    if pieces:
        rows = [
            {
                "attempt_id": attempt_id,
                "sequence": sequence,
                "number": number,
                "digest": digest_of(data),
                "data": data,
            }
            for number, data in pieces.items()
        ]
        session.execute(insert(DetectorPiece), rows)


def forget_unfinished(session: Session, attempt_id: int) -> None:
    """Deletes what was written ahead of a memory that did not come to be."""
    session.execute(
        delete(DetectorPiece).where(
            DetectorPiece.attempt_id == attempt_id,
            DetectorPiece.sequence > _reached(session, attempt_id),
        ),
        execution_options={"synchronize_session": False},
    )


def forget_unnamed(session: Session, attempt_id: int) -> bool:
    """Deletes some pieces that no memory names any more; whether there may be more of them."""
    session.flush()
    named = {
        place
        for table in (DetectorState, Thinning)
        for memory in session.scalars(select(table.pieces).where(table.attempt_id == attempt_id))
        for place in _named(memory)
    }
    # Those behind it are being written.
    stored = session.execute(
        select(DetectorPiece.sequence, DetectorPiece.number, func.length(DetectorPiece.data))
        .where(
            DetectorPiece.attempt_id == attempt_id,
            DetectorPiece.sequence <= _reached(session, attempt_id),
        )
        .order_by(DetectorPiece.sequence, DetectorPiece.number)
    )
    unnamed = {(at, number): size for at, number, size in stored if (at, number) not in named}
    before = [0, *accumulate(unnamed.values())]
    going = [place for place, size in zip(unnamed, before, strict=False) if size < BYTES_AT_ONCE]
    if going:
        key = tuple_(DetectorPiece.sequence, DetectorPiece.number)
        session.execute(
            delete(DetectorPiece).where(DetectorPiece.attempt_id == attempt_id, key.in_(going)),
            execution_options={"synchronize_session": False},
        )
    return len(unnamed) > len(going)


def _reached(session: Session, attempt_id: int) -> int:
    query = select(DetectorState.sequence).where(DetectorState.attempt_id == attempt_id)
    found = session.scalar(query)
    return -2 if found is None else found


def _named(memory: Iterable[Any] | None) -> set[Place]:
    return {(sequence, number) for sequence, number in memory or ()}
