"""What is to be measured of a snapshot, against which others, and within which budget."""

from __future__ import annotations

from dataclasses import dataclass

from bifurk_service.pipeline.measuring import MeasureJob
from bifurk_service.pipeline.reading import BlobRef
from bifurk_service.stats.spectra.plan import vectors_due
from bifurk_service.store.engine import Database
from bifurk_service.store.leases import Lease, check_held
from bifurk_service.store.models import Snapshot, StoredPart
from bifurk_service.store.snapshots import neighbours, parts_of, received_before
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


def needs_earlier_vectors(database: Database, snapshot: Snapshot, *, every: int) -> bool:
    """Whether a snapshot waits: subspaces are compared with the first ones, known by then.

    Args:
        every: one snapshot in so many has its singular vectors looked at.
    """
    if not vectors_due(snapshot.sequence, every):
        return False
    with database.read() as session:
        earlier = received_before(session, snapshot)
    return any(vectors_due(sequence, every) for sequence in earlier)


def job_of(
    database: Database,
    snapshot: Snapshot,
    lease: Lease,
    *,
    blob_url: str,
    spectra: SpectraSchedule,
) -> MeasureJob:
    """What a worker is given of a snapshot.

    Raises:
        LeaseLostError: its attempt is another process's.
    """
    with database.write() as session:
        check_held(session, lease)
        stored = session.get_one(Snapshot, snapshot.id)
        previous, first = neighbours(session, stored)
        parts, before, at_first = (
            parts_of(session, other.id) if other is not None else []
            for other in (stored, previous, first)
        )
    with database.read() as session:
        plan = spectra_plan(
            session,
            snapshot,
            budget_seconds=spectra.budget_seconds,
            vectors_every=spectra.vectors_every,
        )
    return MeasureJob(
        snapshot_id=snapshot.id,
        blob_url=blob_url,
        parts=tuple(map(_as_kept, parts)),
        previous=tuple(map(_as_sent, before)),
        first=tuple(map(_as_kept, at_first)),
        steps_since_previous=None if previous is None else snapshot.step - previous.step,
        plan=plan,
    )


def _as_kept(part: StoredPart) -> BlobRef:
    return BlobRef(key=part.blob_key, encoding=part.encoding)


def _as_sent(part: StoredPart) -> BlobRef:
    """With its full values, as long as they are there."""
    kept = _as_kept(part)
    if part.stale_key is None or part.stale_encoding is None:
        return kept
    return BlobRef(key=part.stale_key, encoding=part.stale_encoding, fallback=kept)
