"""The density of a tensor's values at a step, drawn from what its parts carry."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Query, Request, Response

from bifurk_service.api.asked import asked_tensor
from bifurk_service.api.distribution_shapes import (
    DensityAnswer,
    DistributionAnswer,
)
from bifurk_service.api.freshness import freshness, not_modified
from bifurk_service.api.grants import Reader
from bifurk_service.api.parameters import (
    OfAttempt,
    RunId,
    Step,
    TensorId,
)
from bifurk_service.api.schemas import TensorReference
from bifurk_service.api.stored_parts import stored_distribution
from bifurk_service.errors import InvalidError
from bifurk_service.services import services
from bifurk_service.stats.distributions.density import DensityUnit, density, nothing_to_draw
from bifurk_service.stats.distributions.distribution import Distribution

router = APIRouter(prefix="/api/v1/runs/{run_id}", tags=["distributions"])

Bins: TypeAlias = Annotated[int, Query(ge=1, le=4096, description="Bins of equal width.")]
Unit: TypeAlias = Annotated[
    DensityUnit,
    Query(
        description="The weights' own, standard deviations (not centred), or log10 of |w|, "
        "a density per decade."
    ),
]
Edge: TypeAlias = Annotated[
    float | None, Query(allow_inf_nan=False, description="In that unit; without it, the extreme.")
]


@router.get("/tensors/{tensor_id}/distribution", response_model=DistributionAnswer)
def get_distribution(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    response: Response,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    *,
    step: Step = None,
    attempt: OfAttempt = None,
    bins: Bins = 128,
    unit: Unit = "weight",
    low: Edge = None,
    high: Edge = None,
) -> DistributionAnswer | Response:
    """The density of a tensor's values at a step; tagged, so that 304 can be the answer."""
    asked = asked_tensor(request, grant, run_id, tensor_id, step, attempt)
    if (unchanged := not_modified(request, asked.tag)) is not None:
        return unchanged
    distribution = stored_distribution(services(request), asked.snapshot, asked.tensor)
    drawn = drawn_density(distribution, bins=bins, unit=unit, low=low, high=high)
    response.headers.update(freshness(asked.tag))
    return DistributionAnswer(
        tensor=TensorReference.model_validate(asked.tensor),
        step=asked.snapshot.step,
        **drawn.model_dump(),
    )


def drawn_density(
    distribution: Distribution,
    *,
    bins: int,
    unit: DensityUnit,
    low: float | None,
    high: float | None,
) -> DensityAnswer:
    """A density as REST gives it.

    Raises:
        InvalidError: edges out of order, too far apart to subtract or too close to tell.
    """
    if low is not None and high is not None and not low < high:
        raise InvalidError(f"low is to be below high, got {low} and {high}", where="low")
    nothing = nothing_to_draw(distribution, unit)
    try:
        drawn = density(distribution, bins=bins, unit=unit, low=low, high=high)
    except ValueError as error:
        raise InvalidError(
            f"{bins} bins between these edges are beyond float64: {error}", where="bins"
        ) from error
    return DensityAnswer(
        unit=unit,
        edges=[] if nothing else drawn.edges.tolist(),
        density=[] if nothing else drawn.density.tolist(),
        covered=0.0 if nothing else drawn.covered,
        finite=drawn.finite,
        nonfinite=drawn.nonfinite,
        zeros=drawn.zeros,
        exact=distribution.lossless,
        no_value=nothing.reason if nothing else None,
    )
