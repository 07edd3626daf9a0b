"""Quantiles, shares and draws of a tensor's stored distribution at a step."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from bifurk_service.api.asked import AskedTensor, asked_tensor
from bifurk_service.api.distribution_shapes import (
    DrawsAnswer,
    ProbabilityAnswer,
    QuantilesAnswer,
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
from bifurk_service.domain import LARGEST
from bifurk_service.errors import InvalidError
from bifurk_service.services import services
from bifurk_service.stats.distributions.deviation import deviation
from bifurk_service.stats.distributions.distribution import Distribution
from bifurk_service.stats.distributions.sampling import draws, share_between
from bifurk_service.stats.value import ALL_EQUAL, EMPTY, NO_FINITE

router = APIRouter(prefix="/api/v1/runs/{run_id}/tensors/{tensor_id}", tags=["distributions"])

DEFAULT_PROBABILITIES: Final = (
    0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0,
)  # fmt: skip
"""What is answered where no ``p`` is asked for: the registry's quantiles and the extremes."""
MOST_PROBABILITIES: Final = 200
MOST_DRAWS: Final = 100_000

Bound = Annotated[
    float | None, Query(allow_inf_nan=False, description="In `unit`; without it, open.")
]


@router.get("/quantiles", response_model=QuantilesAnswer)
def get_quantiles(
    request: Request,
    response: Response,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    *,
    step: Step = None,
    attempt: OfAttempt = None,
    p: Annotated[
        list[Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)]],
        Query(max_length=MOST_PROBABILITIES, description="Probabilities; may be repeated."),
    ] = [],  # noqa: B006 - FastAPI's form of a repeated parameter
) -> QuantilesAnswer | Response:
    """Quantiles of a tensor's finite values; null where there are none. Tagged."""
    asked = asked_tensor(request, grant, run_id, tensor_id, step, attempt)
    if (unchanged := not_modified(request, asked.tag)) is not None:
        return unchanged
    distribution = _distribution(request, asked)
    probabilities = p or list(DEFAULT_PROBABILITIES)
    values: list[float | None] = [None] * len(probabilities)
    if distribution.size:
        values = distribution.quantiles(np.array(probabilities)).tolist()
    response.headers.update(freshness(asked.tag))
    return QuantilesAnswer(
        **_about(asked, distribution), probabilities=probabilities, values=values
    )


@router.get("/probability", response_model=ProbabilityAnswer)
def get_probability(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    response: Response,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    *,
    step: Step = None,
    attempt: OfAttempt = None,
    low: Bound = None,
    high: Bound = None,
    unit: Annotated[
        Literal["weight", "sigma"], Query(description="The weights' own, or standard deviations.")
    ] = "weight",
) -> ProbabilityAnswer | Response:
    """The share of a tensor's finite values with low <= w < high; null without any. Tagged."""
    if low is not None and high is not None and not low < high:
        raise InvalidError(f"low is to be below high, got {low} and {high}", where="low")
    asked = asked_tensor(request, grant, run_id, tensor_id, step, attempt)
    if (unchanged := not_modified(request, asked.tag)) is not None:
        return unchanged
    distribution = _distribution(request, asked)
    about = _about(asked, distribution)
    share = None
    if distribution.size:
        scale = deviation(distribution) if unit == "sigma" else 1.0
        if scale == 0.0:
            about["no_value"] = ALL_EQUAL.reason
        else:
            share = share_between(
                distribution,
                -math.inf if low is None else low * scale,
                math.inf if high is None else high * scale,
            )
    response.headers.update(freshness(asked.tag))
    return ProbabilityAnswer(**about, unit=unit, low=low, high=high, probability=share)


@router.get("/draws", response_model=DrawsAnswer)
def get_draws(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    response: Response,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    *,
    step: Step = None,
    attempt: OfAttempt = None,
    size: Annotated[int, Query(ge=1, le=MOST_DRAWS, description="How many.")] = 1000,
    seed: Annotated[int, Query(ge=0, le=LARGEST, description="The same draws for the same.")] = 0,
) -> DrawsAnswer | Response:
    """Seeded draws, with replacement, from a tensor's finite values; none without any. Tagged."""
    asked = asked_tensor(request, grant, run_id, tensor_id, step, attempt)
    if (unchanged := not_modified(request, asked.tag)) is not None:
        return unchanged
    distribution = _distribution(request, asked)
    values = draws(distribution, size=size, seed=seed).tolist() if distribution.size else []
    response.headers.update(freshness(asked.tag))
    return DrawsAnswer(**_about(asked, distribution), seed=seed, values=values)


def _distribution(request: Request, asked: AskedTensor) -> Distribution:
    return stored_distribution(services(request), asked.snapshot, asked.tensor)


def _about(asked: AskedTensor, distribution: Distribution) -> dict[str, Any]:
    """What every answer of this module says of what it is drawn from."""
    nothing = NO_FINITE if distribution.nonfinite else EMPTY
    return {
        "tensor": TensorReference.model_validate(asked.tensor),
        "step": asked.snapshot.step,
        "finite": distribution.size,
        "nonfinite": distribution.nonfinite,
        "exact": distribution.lossless,
        "no_value": None if distribution.size else nothing.reason,
    }
