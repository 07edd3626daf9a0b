"""Receipts: what is committed of a part before it is acknowledged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk.wire import Manifest, Part
from bifurk_service.errors import ConflictError
from bifurk_service.store.condensing import forget_condensed
from bifurk_service.store.logged import keep_marks, keep_scalars
from bifurk_service.store.models import (
    Attempt,
    Project,
    Run,
    Snapshot,
    StoredPart,
    Tensor,
)
from bifurk_service.store.runs import (
    apply_manifest,
    check_source,
    check_step,
    ensure_attempt,
    run_of,
)
from bifurk_service.store.snapshots import RECEIVED
from bifurk_service.store.writers import check_writer, claim


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobReceipt:
    """Where a part's bytes lie: key, hex SHA-256 of the body as sent, its encoding and size."""

    key: str
    digest: str
    encoding: str
    size_bytes: int


def find_part(session: Session, manifest: Manifest) -> StoredPart | None:
    """The stored part with this part's identity, or None."""
    return session.scalar(
        select(StoredPart)
        .join(Snapshot, StoredPart.snapshot_id == Snapshot.id)
        .join(Attempt, Snapshot.attempt_id == Attempt.id)
        .join(Run, Attempt.run_id == Run.id)
        .join(Project, Run.project_id == Project.id)
        .where(
            Project.slug == manifest.project,
            Run.slug == manifest.run,
            Attempt.slug == manifest.attempt,
            Snapshot.step == manifest.step,
            StoredPart.rank == manifest.rank,
        )
    )


def check_same(stored: StoredPart, digest: str) -> None:
    """Raises ``ConflictError`` unless a stored part is this very one."""
    if stored.digest != digest:
        raise ConflictError(
            f"another body is stored for this part (sha-256 {stored.digest[:16]}..., "
            f"this one is {digest[:16]}...); a stored part never changes"
        )


def receive_part(
    session: Session, part: Part, blob: BlobReceipt, *, writer: str | None = None, now: float
) -> bool:
    """Commits the receipt of a part whose blob is safe; False when it was there already.

    Args:
        writer: the job that sends it, where it says so.

    Raises:
        ConflictError: it contradicts another part, snapshot or tensor.
        AttemptTakenError: the attempt is another writer's.
    """
    manifest = part.manifest
    check_writer(session, manifest, writer)
    stored = find_part(session, manifest)
    if stored is not None:
        check_same(stored, blob.digest)
        return False
    attempt = ensure_attempt(
        session, project=manifest.project, run=manifest.run, attempt=manifest.attempt, now=now
    )
    claim(session, attempt, writer)
    check_source(session, attempt.run_id)
    check_step(session, attempt, manifest)
    apply_manifest(session, attempt, manifest, now=now)
    run = run_of(session, attempt)
    run.display_name = manifest.display_name or run.display_name
    snapshot = _snapshot(session, attempt, manifest, now)
    forget_condensed(session, attempt, manifest.sequence)
    _check_snapshot(snapshot, manifest)
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
    snapshot.received_parts += 1
    snapshot.coverage = snapshot.received_parts / snapshot.expected_parts
    _keep_tensors(session, run.id, part)
    if manifest.rank == 0:
        keep_scalars(session, attempt, manifest.step, manifest.scalars, last=False)
        keep_marks(session, snapshot, manifest.marks)
    return True


def _snapshot(session: Session, attempt: Attempt, manifest: Manifest, now: float) -> Snapshot:
    snapshot = session.scalar(
        select(Snapshot).where(
            Snapshot.attempt_id == attempt.id, Snapshot.sequence == manifest.sequence
        )
    )
    if snapshot is None:
        snapshot = Snapshot(
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
            learning_rates=[_finite(rate) for rate in manifest.learning_rates],
        )
        session.add(snapshot)
        session.flush()
    return snapshot


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
    columns = (Tensor.layer, Tensor.role, Tensor.shape, Tensor.dtype, Tensor.piece_of)
    rows = session.execute(select(Tensor.name, Tensor.id, *columns).where(Tensor.run_id == run_id))
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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
