"""All values of a tensor at a step, while they are kept: the newest, and what an alert pins."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from safetensors.numpy import save

from bifurk.exact import Exact
from bifurk.wire import TensorPart
from bifurk_service.api.asked import AskedTensor, asked_tensor
from bifurk_service.api.freshness import freshness, not_modified
from bifurk_service.api.grants import Admin
from bifurk_service.api.parameters import (
    OfAttempt,
    RunId,
    Step,
    TensorId,
)
from bifurk_service.api.stored_parts import carried_in_full
from bifurk_service.errors import NotFoundError
from bifurk_service.services import services
from bifurk_service.stats.shards import assembled

router = APIRouter(prefix="/api/v1/runs/{run_id}/tensors/{tensor_id}", tags=["distributions"])

SAFETENSORS = "application/octet-stream"


@router.get("/values", response_class=Response)
def get_values(
    request: Request,
    grant: Admin,
    run_id: RunId,
    tensor_id: TensorId,
    *,
    step: Step = None,
    attempt: OfAttempt = None,
) -> Response:
    """A tensor's own values at a step, as a safetensors file; bfloat16 as float32. Tagged.

    Small tensors always travel with all their values. Of a larger one they are there until the next
    snapshot is judged, or for good where the snapshot is `pinned`.
    """
    asked = asked_tensor(request, grant, run_id, tensor_id, step, attempt)
    if (unchanged := not_modified(request, asked.tag)) is not None:
        return unchanged
    values = _values(request, asked)
    array = values.float32_or_wider() if values.dtype == "bfloat16" else values.data
    body = save({asked.tensor.name: array.reshape(asked.tensor.shape)})
    return Response(body, media_type=SAFETENSORS, headers=freshness(asked.tag))


def _values(request: Request, asked: AskedTensor) -> Exact:
    name = asked.tensor.name
    pieces = carried_in_full(services(request), asked.snapshot, {name}).get(name)
    whole = assembled(pieces) if pieces else None
    if isinstance(whole, TensorPart):
        values = whole.values if whole.full is None else whole.full
        if values is not None:
            return values
    raise NotFoundError(
        f"the values of {name} at step {asked.snapshot.step} are not kept whole: they did not come "
        "with this snapshot, or have been measured and deleted; alerts pin those around them"
    )
