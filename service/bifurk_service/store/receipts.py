"""Receipts: what is committed of a part before it is acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from bifurk.wire import Manifest, Part
from bifurk_service.errors import ConflictError
from bifurk_service.store.condensing import forget_condensed
from bifurk_service.store.finite import finite_or_null
from bifurk_service.store.fitting import check_source, check_step
from bifurk_service.store.logged import keep_marks, keep_scalars
from bifurk_service.store.models import (
    Attempt,
    Project,
    Run,
    Snapshot,
    StoredPart,
    Tensor,
)
from bifurk_service.store.runs import CLIENT, apply_manifest, ensure_attempt, run_of
from bifurk_service.store.snapshots import RECEIVED
from bifurk_service.store.writers import claim


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobReceipt:
    """Where a part's bytes lie: key, hex SHA-256 of the body as sent, its encoding and size."""

    key: str
    digest: str
    encoding: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is stored where a part belongs.

    Attributes:
        writer: whose its attempt is. digest, blob_key: of the part itself; None: it is not there.
    """

    writer: str | None
    digest: str | None
    blob_key: str | None


_KNOWN: Final = (
    select(Attempt.writer, StoredPart.digest, StoredPart.blob_key)
    .join(Run, Attempt.run_id == Run.id)
    .join(Project, Run.project_id == Project.id)
    .outerjoin(Snapshot, (Snapshot.attempt_id == Attempt.id) & (Snapshot.step == bindparam("step")))
    .outerjoin(
        StoredPart, (StoredPart.snapshot_id == Snapshot.id) & (StoredPart.rank == bindparam("rank"))
    )
    .where(
        Project.slug == bindparam("project"),
        Run.slug == bindparam("run"),
        Attempt.slug == bindparam("attempt"),
    )
)
_TENSORS: Final = select(
    Tensor.name, Tensor.id, Tensor.layer, Tensor.role, Tensor.shape, Tensor.dtype, Tensor.piece_of
).where(Tensor.run_id == bindparam("run"))


def what_is_known(session: Session, manifest: Manifest) -> Known | None:
    """What is stored of a part's identity; None where its attempt is not there."""
    names = ("project", "run", "attempt", "step", "rank")
    row = session.execute(_KNOWN, {name: getattr(manifest, name) for name in names}).one_or_none()
    return None if row is None else Known(writer=row[0], digest=row[1], blob_key=row[2])


def check_same(stored: str, digest: str) -> None:
    """Raises ``ConflictError`` unless what is stored is this body; both as SHA-256 in hex."""
    if stored != digest:
        raise ConflictError(
            f"another body is stored for this part (sha-256 {stored[:16]}..., "
            f"this one is {digest[:16]}...); a stored part never changes"
        )


def receive_part(
    session: Session, part: Part, blob: BlobReceipt, *, writer: str | None = None, now: float
) -> tuple[Attempt, bool]:
    """Commits the receipt of a part whose blob is safe.

    Args:
        writer: the job that sends it, where it says so.

    Returns:
        Its attempt, and whether it was stored now: not where it was there already.

    Raises:
        ConflictError: it contradicts another part, snapshot or tensor.
        AttemptTakenError: the attempt is another writer's.
    """
    manifest = part.manifest
    attempt = ensure_attempt(
        session, project=manifest.project, run=manifest.run, attempt=manifest.attempt, now=now
    )
    claim(session, attempt, writer)
    # Written at the end, at once: nothing that is read meanwhile is what is written.
    with session.no_autoflush:
        last = check_step(session, attempt, manifest)
        if last is None or attempt.source != CLIENT:
            check_source(session, attempt.run_id)
        snapshot = None if last != manifest.sequence else _stored(session, attempt, manifest)
        if snapshot is not None and _is_repeated(session, snapshot, manifest.rank, blob):
            return attempt, False
        _keep(session, attempt, snapshot or _new(attempt, manifest, now), part, blob, now=now)
    return attempt, True


def _keep(
    session: Session,
    attempt: Attempt,
    snapshot: Snapshot,
    part: Part,
    blob: BlobReceipt,
    *,
    now: float,
) -> None:
    manifest = part.manifest
    _check_snapshot(snapshot, manifest)
    apply_manifest(session, attempt, manifest, now=now)
    run = run_of(session, attempt)
    run.display_name = manifest.display_name or run.display_name
    forget_condensed(session, attempt, manifest.sequence)
    snapshot.received_parts += 1
    snapshot.coverage = snapshot.received_parts / snapshot.expected_parts
    _keep_tensors(session, run.id, part)
    if manifest.rank == 0:
        keep_scalars(session, attempt, manifest.step, manifest.scalars, last=False)
    session.add(snapshot)
    session.flush()
    session.add(
        StoredPart(
            snapshot_id=snapshot.id,
            rank=manifest.rank,
            digest=blob.digest,
            encoding=blob.encoding,
            blob_key=blob.key,
            blob_bytes=blob.size_bytes,
        )
    )
    if manifest.rank == 0:
        keep_marks(session, snapshot, manifest.marks)


def _stored(session: Session, attempt: Attempt, manifest: Manifest) -> Snapshot:
    query = select(Snapshot).where(
        Snapshot.attempt_id == attempt.id, Snapshot.sequence == manifest.sequence
    )
    return session.scalars(query).one()


def _is_repeated(session: Session, snapshot: Snapshot, rank: int, blob: BlobReceipt) -> bool:
    query = select(StoredPart.digest).where(
        StoredPart.snapshot_id == snapshot.id, StoredPart.rank == rank
    )
    digest = session.scalar(query)
    if digest is not None:
        check_same(digest, blob.digest)
    return digest is not None


def _new(attempt: Attempt, manifest: Manifest, now: float) -> Snapshot:
    return Snapshot(
        attempt_id=attempt.id,
        sequence=manifest.sequence,
        step=manifest.step,
        previous_step=manifest.previous_step,
        off_grid=manifest.off_grid,
        state=RECEIVED,
        tries=0,
        expected_parts=manifest.expected_parts,
        received_parts=0,
        coverage=0.0,
        wall_clock=manifest.wall_clock_seconds,
        received_at=now,
        learning_rates=[finite_or_null(rate) for rate in manifest.learning_rates],
    )


def _check_snapshot(snapshot: Snapshot, manifest: Manifest) -> None:
    """A part fits the other parts of its snapshot, and comes before they are measured."""
    for name in ("expected_parts", "off_grid"):
        if getattr(snapshot, name) != getattr(manifest, name):
            raise ConflictError(
                f"the other parts of this snapshot say {getattr(snapshot, name)}, "
                f"this one {getattr(manifest, name)}",
                where=f"manifest.{name}",
            )
    if snapshot.state != RECEIVED:
        raise ConflictError(
            f"the snapshot at step {snapshot.step} is {snapshot.state} without this part, which "
            "was waited for and came too late",
            where="manifest.rank",
        )


def _keep_tensors(session: Session, run_id: int, part: Part) -> None:
    """As they are described now; all but the first part of a run mostly say what is known."""
    rows = session.execute(_TENSORS, {"run": run_id})
    known = {name: (tensor_id, tuple(described)) for name, tensor_id, *described in rows}
    for tensor in part.tensors:
        # What is sent by a name is no longer a piece of another.
        described = (tensor.layer, tensor.role, list(tensor.shape), tensor.dtype, None)
        tensor_id, before = known.get(tensor.name, (None, None))
        if described == before:
            continue
        stored = Tensor(run_id=run_id, name=tensor.name)
        if tensor_id is not None:
            stored = session.get_one(Tensor, tensor_id)
        layer, role, shape, dtype, piece_of = described
        stored.layer, stored.role, stored.shape, stored.dtype = layer, role, shape, dtype
        stored.piece_of = piece_of
        session.add(stored)
