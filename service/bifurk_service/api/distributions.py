"""The density of a tensor's values at a step, drawn from what its parts carry."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Final, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from bifurk.wire import TensorPart, WireError, WireLimits, decode
from bifurk_service.api.freshness import freshness, not_modified, snapshot_tag
from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import RunId, Step, TensorId
from bifurk_service.api.schemas import DistributionAnswer, TensorReference
from bifurk_service.errors import InvalidError, NotFoundError, StorageError
from bifurk_service.services import Services, services
from bifurk_service.stats.density import Density, density
from bifurk_service.store.models import Snapshot, StoredPart
from bifurk_service.store.queries import get_tensor, snapshot_at
from bifurk_service.store.snapshots import parts_of

router = APIRouter(prefix="/api/v1/runs/{run_id}", tags=["series"])

READINGS: Final = 2
"""Once a snapshot is measured its parts move to smaller blobs; whoever meets that looks again."""

STORED_BYTES: Final = 1 << 31
STORED_TENSORS: Final = 10**9
"""What is stored was within the limits once; lowering them since must not hide it."""

Edge = Annotated[float | None, Query(allow_inf_nan=False, description="Without it, the extreme.")]


@router.get("/tensors/{tensor_id}/distribution", response_model=DistributionAnswer)
def get_distribution(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    response: Response,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    *,
    step: Step = None,
    bins: Annotated[int, Query(ge=1, le=4096)] = 128,
    unit: Annotated[
        Literal["weight", "sigma"], Query(description="The weights' own, or standard deviations.")
    ] = "weight",
    low: Edge = None,
    high: Edge = None,
) -> DistributionAnswer | Response:
    """The density of a tensor's values at a step; tagged, so that 304 can be the answer."""
    house = services(request)
    with house.database.read() as session:
        visible_run(session, run_id, grant)
        tensor = get_tensor(session, run_id, tensor_id)
        snapshot = snapshot_at(session, run_id, step)
        tag = snapshot_tag(request, snapshot, parts_of(session, snapshot.id))
    if (unchanged := not_modified(request, tag)) is not None:
        return unchanged
    carried = _carried(house, snapshot, tensor.name)
    if not carried:
        raise NotFoundError(f"step {snapshot.step} does not carry tensor {tensor_id}")
    drawn = _density(carried, bins=bins, in_sigmas=unit == "sigma", low=low, high=high)
    response.headers.update(freshness(tag))
    return DistributionAnswer(
        tensor=TensorReference.model_validate(tensor),
        step=snapshot.step,
        unit=unit,
        edges=drawn.edges.tolist(),
        density=drawn.density.tolist(),
        covered=drawn.covered,
        finite=drawn.finite,
        nonfinite=drawn.nonfinite,
    )


def _carried(house: Services, snapshot: Snapshot, name: str) -> list[TensorPart]:
    """The tensor as each part of the snapshot carries it."""
    for _ in range(READINGS):
        with house.database.read() as session:
            parts = parts_of(session, snapshot.id)
        with suppress(FileNotFoundError):
            return [
                piece for part in parts for piece in _decoded(house, part) if piece.name == name
            ]
    raise NotFoundError(f"a part of step {snapshot.step} is no longer kept")


def _decoded(house: Services, part: StoredPart) -> tuple[TensorPart, ...]:
    limits = WireLimits(
        decoded_bytes=max(house.settings.max_decoded_bytes, STORED_BYTES), tensors=STORED_TENSORS
    )
    try:
        blob = house.blobs.get(part.blob_key)
        return decode(blob, encoding=part.encoding, limits=limits).tensors
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(
            f"the stored part {part.blob_key} cannot be read: {error.strerror or error}"
        ) from error
    except WireError as error:
        raise StorageError(f"the stored part {part.blob_key} is damaged: {error}") from error


def _density(
    pieces: Sequence[TensorPart],
    *,
    bins: int,
    in_sigmas: bool,
    low: float | None,
    high: float | None,
) -> Density:
    """Refuses what float64 cannot draw: edges too far apart to subtract, bins too thin to tell."""
    if low is not None and high is not None and not low < high:
        raise InvalidError(f"low is to be below high, got {low} and {high}", where="low")
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            return density(pieces, bins=bins, in_sigmas=in_sigmas, low=low, high=high)
    except (FloatingPointError, ValueError) as error:
        raise InvalidError(
            f"{bins} bins between these edges are beyond float64: {error}", where="bins"
        ) from error
