"""Which tensor and which snapshot a request asks about, and the tag of its answer."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from bifurk_service.api.freshness import snapshot_tag
from bifurk_service.api.grants import visible_run
from bifurk_service.api.stored_parts import stored_tensor
from bifurk_service.services import services
from bifurk_service.store.models import Snapshot, Tensor
from bifurk_service.store.queries import snapshot_at
from bifurk_service.store.snapshots import parts_of
from bifurk_service.store.tokens import Grant


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AskedSnapshot:
    """A measured snapshot, and the entity tag of what is asked of it."""

    snapshot: Snapshot
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AskedTensor:
    """A tensor whose values are stored, a measured snapshot, and the answer's entity tag."""

    tensor: Tensor
    snapshot: Snapshot
    tag: str


def asked_snapshot(
    request: Request, grant: Grant, run_id: int, step: int | None, attempt: str | None = None
) -> AskedSnapshot:
    """The snapshot of a run at a step, or its last measured one; of one attempt where asked for.

    Raises:
        NotFoundError: no such run, or no snapshot at this step; names the nearest.
    """
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        snapshot = snapshot_at(session, run_id, step, attempt)
        tag = snapshot_tag(request, snapshot, parts_of(session, snapshot.id))
    return AskedSnapshot(snapshot=snapshot, tag=tag)


def asked_tensor(
    request: Request,
    grant: Grant,
    run_id: int,
    tensor_id: int,
    step: int | None,
    attempt: str | None = None,
) -> AskedTensor:
    """A tensor of a run and the snapshot at a step, or the last measured one.

    Raises:
        NotFoundError: no such run or tensor, a piece of a fused tensor, or no snapshot at
            this step; names the nearest.
    """
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        tensor = stored_tensor(session, run_id, tensor_id)
        snapshot = snapshot_at(session, run_id, step, attempt)
        tag = snapshot_tag(request, snapshot, parts_of(session, snapshot.id))
    return AskedTensor(tensor=tensor, snapshot=snapshot, tag=tag)
