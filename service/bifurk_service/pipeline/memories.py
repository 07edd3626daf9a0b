"""The detectors' memory of an attempt, to the database and back, a few MiB in a transaction.

Most of a large memory is written ahead, in transactions of its own, so that no other writer waits
for all of it; the rest goes in the transaction that makes it the attempt's memory. A process that
dies at any moment leaves the memory before, or this one, whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bifurk_service.detect.judge import Judge
from bifurk_service.detect.state_archive import ForeignStateError
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.leases import Lease, check_held
from bifurk_service.store.state_pieces import (
    DamagedPieceError,
    Place,
    digest_of,
    forget_unfinished,
    forget_unnamed,
    keep_pieces,
    places_by_digest,
)
from bifurk_service.store.states import SavedState, pieces_of, save_state

BYTES_AT_ONCE: Final = 8 << 20
"""That one transaction writes: SQLite's one writer is held for some hundredths of a second."""


def take_up(session: Session, judge: Judge, attempt_id: int, saved: SavedState) -> None:
    """Gives a judge a saved memory.

    Raises:
        ForeignStateError: it is of another definition, or damaged; the judge is not to be used.
    """
    if saved.whole:
        judge.restore(saved.whole)
        return
    if saved.definition != judge.definition:
        raise ForeignStateError(
            f"state of definition {saved.definition!r}, this is {judge.definition!r}"
        )
    try:
        judge.take_up(pieces_of(session, attempt_id, saved))
    except DamagedPieceError as error:
        raise ForeignStateError(str(error)) from error


@dataclass(slots=True, kw_only=True)
class _Ahead:
    """A memory most of which is written.

    Attributes:
        places: of all pieces. rest: those to be written, by number. is_begun: some are written.
    """

    definition: str
    sequence: int
    places: list[Place] = field(default_factory=list)
    rest: dict[int, bytes] = field(default_factory=dict)
    is_begun: bool = False


class MemoryKeeper:
    """Saves the memory of one judge, as of sequences that only ever grow.

    Args:
        database: to write to. lease: what makes the attempt this process's.
    """

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._attempt_id = lease.attempt_id
        self._ahead: _Ahead | None = None
        self._is_to_tidy = False

    def write_ahead(self, judge: Judge, sequence: int) -> None:
        """Writes all that changed of a judge's memory but the last few MiB.

        Raises:
            LeaseLostError: the attempt is another process's.
        """
        with self._database.read() as session:
            known = places_by_digest(session, self._attempt_id)
        ahead = _Ahead(definition=judge.definition, sequence=sequence)
        for number, piece in enumerate(judge.put_away()):
            place = known.get(digest_of(piece))
            ahead.places.append(place or (sequence, number))
            if place is not None:
                continue
            if sum(map(len, ahead.rest.values())) + len(piece) > BYTES_AT_ONCE:
                self._write_some(ahead)
            ahead.rest[number] = piece
        self._ahead = ahead

    def save(self, session: Session) -> None:
        """Makes what was written ahead the attempt's memory, with all else of this transaction."""
        ahead = self._ahead
        if ahead is None:
            return
        self._keep(session, ahead)
        saved = SavedState(
            definition=ahead.definition, sequence=ahead.sequence, pieces=tuple(ahead.places)
        )
        save_state(session, self._attempt_id, saved)
        self._is_to_tidy = forget_unnamed(session, self._attempt_id)
        self._ahead = None

    def tidy(self) -> None:
        """Forgets what is no memory's any more, when what was saved is committed.

        Raises:
            LeaseLostError: the attempt is another process's.
        """
        while self._is_to_tidy:
            with self._database.write(in_line=False) as session:
                check_held(session, self._lease)
                self._is_to_tidy = forget_unnamed(session, self._attempt_id)

    def _write_some(self, ahead: _Ahead) -> None:
        with self._database.write(in_line=False) as session:
            check_held(session, self._lease)
            self._keep(session, ahead)

    def _keep(self, session: Session, ahead: _Ahead) -> None:
        if not ahead.is_begun:
            forget_unfinished(session, self._attempt_id)
        ahead.is_begun = True
        keep_pieces(session, self._attempt_id, ahead.sequence, ahead.rest)
        ahead.rest = {}
