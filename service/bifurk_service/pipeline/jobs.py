"""What is to be measured of a snapshot, against which others, and within which budget."""

from __future__ import annotations

from dataclasses import dataclass

from bifurk_service.pipeline.measuring import MeasureJob
from bifurk_service.pipeline.reading import BlobRef
from bifurk_service.stats.spectra.plan import vectors_due
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.leases import Lease, check_held
from bifurk_service.store.models import Snapshot, StoredPart
from bifurk_service.store.snapshots import (
    make_base,
    neighbours,
    parts_by_snapshot,
    received_before,
)
from bifurk_service.store.spectra import spectra_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectraSchedule:
    """How much the spectra of one snapshot may cost.

    Attributes:
        budget_seconds: after which no further one is begun.
        vectors_every: one snapshot in so many has its singular vectors looked at.
    """

    budget_seconds: float
    vectors_every: int


def needs_earlier_vectors(session: Session, snapshot: Snapshot, *, every: int) -> bool:
    """Whether a snapshot waits: subspaces are compared with the first ones, known by then.

    Args:
        session: to read with. every: one snapshot in so many has its singular vectors looked at.
    """
    if not vectors_due(snapshot.sequence, every):
        return False
    return any(vectors_due(one, every) for one in received_before(session, snapshot))


def settle_base(database: Database, snapshot: Snapshot, lease: Lease) -> None:
    """Writes down what motion is measured from where that is open, once an attempt.

    Nothing else is written of a job: what comes back is only kept by whoever holds the attempt
    then.

    Raises:
        LeaseLostError: its attempt is another process's.
    """
    with database.write() as session:
        check_held(session, lease)
        make_base(session, snapshot)


def job_of(
    session: Session, snapshot: Snapshot, *, blob_url: str, spectra: SpectraSchedule
) -> MeasureJob:
    """What a worker is given of a snapshot; it is settled what motion is measured from."""
    previous, first = neighbours(session, snapshot)
    parts = parts_by_snapshot(session, [one.id for one in (snapshot, previous, first) if one])
    return MeasureJob(
        snapshot_id=snapshot.id,
        blob_url=blob_url,
        parts=tuple(map(_as_kept, parts[snapshot.id])),
        previous=tuple(map(_as_sent, parts[previous.id])) if previous else (),
        first=tuple(map(_as_kept, parts[first.id])) if first else (),
        steps_since_previous=snapshot.step - previous.step if previous else None,
        plan=spectra_plan(
            session,
            snapshot,
            budget_seconds=spectra.budget_seconds,
            vectors_every=spectra.vectors_every,
        ),
    )


def _as_kept(part: StoredPart) -> BlobRef:
    return BlobRef(key=part.blob_key, encoding=part.encoding)


def _as_sent(part: StoredPart) -> BlobRef:
    """With its full values, as long as they are there."""
    kept = _as_kept(part)
    if part.stale_key is None or part.stale_encoding is None:
        return kept
    return BlobRef(key=part.stale_key, encoding=part.stale_encoding, fallback=kept)
