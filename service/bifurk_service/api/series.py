"""Numbers over steps and at a step: statistics, logged scalars, distributions."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from bifurk.wire import WireLimits, decode
from fastapi import APIRouter, Query, Request, Response

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.schemas import (
    DistributionAnswer,
    Page,
    ScalarAnswer,
    SeriesAnswer,
    StatisticsAnswer,
    TensorReference,
)
from bifurk_service.errors import InvalidError, NotFoundError
from bifurk_service.services import Services, services
from bifurk_service.stats.density import density
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.stats.thinning import thin
from bifurk_service.store.models import Tensor
from bifurk_service.store.queries import get_tensor, snapshot_at, statistics_of
from bifurk_service.store.series import (
    StatisticSeries,
    find_tensors,
    scalar_names,
    scalar_points,
    statistic_series,
)
from bifurk_service.store.snapshots import parts_of

router = APIRouter(prefix="/api/v1/runs/{run_id}", tags=["series"])

Step = Annotated[int | None, Query(ge=0, description="A stored step; without one, the last.")]
MOST_TENSORS = 2_000
"""Of one answer; a larger model is asked for in parts, by role, layer or name."""


@router.get("/series")
def get_series(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    grant: Reader,
    run_id: int,
    *,
    stat: Annotated[str, Query(max_length=64, description="A name from `GET /api/v1/stats`.")],
    tensor: Annotated[str | None, Query(max_length=512, description="Glob: `*` and `?`.")] = None,
    layer: Annotated[int | None, Query(ge=0)] = None,
    role: Annotated[str | None, Query(max_length=64)] = None,
    first: Annotated[int | None, Query(ge=0, alias="from", description="First step.")] = None,
    last: Annotated[int | None, Query(ge=0, alias="to", description="Last step.")] = None,
    points: Annotated[int, Query(ge=4, le=100_000, description="Most points a series.")] = 1000,
) -> Page[SeriesAnswer]:
    """One statistic over steps, a series a tensor; thinned to `points`, extremes kept."""
    if stat not in BY_NAME:
        raise InvalidError(f"no statistic {stat!r}; `GET /api/v1/stats` lists them", where="stat")
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        tensors = find_tensors(session, run_id, glob=tensor, layer=layer, role=role)
        if len(tensors) > MOST_TENSORS:
            raise InvalidError(
                f"{len(tensors)} tensors match; name a role, a layer or a glob that leaves "
                f"at most {MOST_TENSORS}",
                where="tensor",
            )
        series = statistic_series(
            session, run_id, stat, [found.id for found in tensors], first_step=first, last_step=last
        )
        return Page(
            items=[
                _series(found, stat, one, points)
                for found, one in zip(tensors, series, strict=True)
            ]
        )


@router.get("/scalars/{name}")
def get_scalar(request: Request, grant: Reader, run_id: int, name: str) -> ScalarAnswer:
    """A scalar the run logs."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        points = scalar_points(session, run_id, name)
        if not points:
            known = ", ".join(scalar_names(session, run_id)) or "none"
            raise NotFoundError(f"run {run_id} logs no {name!r}; it logs: {known}")
    return ScalarAnswer(
        name=name,
        steps=[point.step for point in points],
        last=[point.last for point in points],
        mean=[point.mean for point in points],
        min=[point.min for point in points],
        max=[point.max for point in points],
    )


@router.get("/tensors/{tensor_id}/statistics")
def get_statistics(
    request: Request, grant: Reader, run_id: int, tensor_id: int, step: Step = None
) -> StatisticsAnswer:
    """All statistics of one tensor at one step."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        tensor = get_tensor(session, run_id, tensor_id)
        snapshot = snapshot_at(session, run_id, step)
        values, reasons = statistics_of(session, tensor_id, snapshot)
    return StatisticsAnswer(
        tensor=_reference(tensor), step=snapshot.step, values=values, no_value=reasons
    )


@router.get("/tensors/{tensor_id}/distribution")
def get_distribution(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    response: Response,
    grant: Reader,
    run_id: int,
    tensor_id: int,
    *,
    step: Step = None,
    bins: Annotated[int, Query(ge=1, le=4096)] = 128,
    unit: Annotated[
        Literal["weight", "sigma"], Query(description="The weights' own, or standard deviations.")
    ] = "weight",
    low: Annotated[float | None, Query(description="First edge; without it, the smallest.")] = None,
    high: Annotated[float | None, Query(description="Last edge; without it, the largest.")] = None,
) -> DistributionAnswer:
    """The density of a tensor's values at a step, from its counts or its exact values."""
    house = services(request)
    with house.database.read() as session:
        visible_run(session, run_id, grant)
        tensor = get_tensor(session, run_id, tensor_id)
        snapshot = snapshot_at(session, run_id, step)
        parts = [(part.blob_key, part.encoding) for part in parts_of(session, snapshot.id)]
    carried = [
        piece
        for key, encoding in parts
        for piece in decode(house.blobs.get(key), encoding=encoding, limits=_limits(house)).tensors
        if piece.name == tensor.name
    ]
    if not carried:
        raise NotFoundError(f"step {snapshot.step} does not carry tensor {tensor_id}")
    drawn = density(carried, bins=bins, in_sigmas=unit == "sigma", low=low, high=high)
    response.headers["Cache-Control"] = (
        "private, max-age=31536000, immutable" if step is not None else "no-cache"
    )
    return DistributionAnswer(
        tensor=_reference(tensor),
        step=snapshot.step,
        unit=unit,
        edges=drawn.edges.tolist(),
        density=drawn.density.tolist(),
        covered=drawn.covered,
        finite=drawn.finite,
        nonfinite=drawn.nonfinite,
    )


def _limits(house: Services) -> WireLimits:
    return WireLimits(
        decoded_bytes=house.settings.max_decoded_bytes, tensors=house.settings.max_tensors
    )


def _series(tensor: Tensor, stat: str, series: StatisticSeries, points: int) -> SeriesAnswer:
    kept = thin(series.values, points)
    return SeriesAnswer(
        tensor=_reference(tensor),
        stat=stat,
        steps=series.steps[kept].tolist(),
        values=[value if math.isfinite(value) else None for value in series.values[kept].tolist()],
    )


def _reference(tensor: Tensor) -> TensorReference:
    return TensorReference.model_validate(tensor)
