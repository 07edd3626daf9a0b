"""Numbers over steps and at a step: statistics and logged scalars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response

from bifurk_service.api.freshness import freshness, not_modified, snapshot_tag
from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import (
    FirstStep,
    Glob,
    LastStep,
    Layer,
    OfAttempt,
    Role,
    RunId,
    Step,
    TensorId,
    Text,
    check_statistics,
)
from bifurk_service.api.schemas import (
    Page,
    ScalarAnswer,
    SeriesAnswer,
    StatisticsAnswer,
    TensorReference,
)
from bifurk_service.errors import InvalidError, NotFoundError
from bifurk_service.services import services
from bifurk_service.stats.registry import BY_NAME, Nature
from bifurk_service.stats.thinning import thin, thin_intervals
from bifurk_service.store.imports import imported_statistics
from bifurk_service.store.models import Tensor
from bifurk_service.store.outlined_courses import outlined_scalar
from bifurk_service.store.outlined_series import Asked, outlined_series
from bifurk_service.store.queries import get_tensor, snapshot_at, statistics_of
from bifurk_service.store.runs import attempt_slug
from bifurk_service.store.scalars import ScalarPoint, scalar_names
from bifurk_service.store.series import StatisticSeries, find_tensors
from bifurk_service.store.snapshots import parts_of
from bifurk_service.store.thinned_ranges import thinned_ranges

router = APIRouter(prefix="/api/v1/runs/{run_id}", tags=["series"])

MOST_TENSORS = 2_000
"""Of one answer; a larger model is asked for in parts, by role, layer or name."""
MOST_POINTS = 2_000_000
"""Of one answer over all its series: about 40 MB of JSON."""


@router.get("/series")
def get_series(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    grant: Reader,
    run_id: RunId,
    *,
    stat: Annotated[
        str,
        Query(
            max_length=512,
            description="A name from `GET /api/v1/stats`, or of a statistic the run imported.",
            examples=["std"],
        ),
    ],
    tensor: Glob = None,
    layer: Layer = None,
    role: Role = None,
    attempt: OfAttempt = None,
    first: FirstStep = None,
    last: LastStep = None,
    points: Annotated[int, Query(ge=4, le=100_000, description="Most points a series.")] = 1000,
) -> Page[SeriesAnswer]:
    """One statistic over steps, a series a tensor; thinned to `points`, extremes kept."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        imported = {statistic.name for statistic in imported_statistics(session, run_id)}
        if stat not in imported:
            check_statistics(stat)
        tensors = find_tensors(session, run_id, glob=tensor, layer=layer, role=role)
        if len(tensors) > MOST_TENSORS:
            raise InvalidError(
                f"{len(tensors)} tensors match; name a role, a layer or a glob that leaves "
                f"at most {MOST_TENSORS}",
                where="tensor",
            )
        ids = [found.id for found in tensors]
        series = outlined_series(
            session,
            Asked(
                run_id=run_id,
                statistic=stat,
                tensor_ids=ids,
                points=points,
                first_step=first,
                last_step=last,
                attempt=attempt,
            ),
        )
        gone = thinned_ranges(session, run_id, attempt, first_step=first, last_step=last)
        items = _bounded(zip(tensors, series, strict=True), stat, points)
        return Page(items=[one.model_copy(update={"thinned": gone}) for one in items])


@router.get("/scalars/{name:path}")
def get_scalar(
    request: Request,
    grant: Reader,
    run_id: RunId,
    name: Annotated[Text, Path(max_length=512, description="As logged; slashes are part of it.")],
    attempt: OfAttempt = None,
    points: Annotated[int, Query(ge=8, le=100_000, description="Most intervals.")] = 1000,
) -> ScalarAnswer:
    """A scalar the run logs; thinned to `points`, extremes kept."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        found = outlined_scalar(session, run_id, name, attempt, points=points)
        if not found.points:
            known = ", ".join(scalar_names(session, run_id)) or "none"
            raise NotFoundError(f"run {run_id} logs no {name!r}; it logs: {known}")
    kept = _intervals(found.points, points)
    return ScalarAnswer(
        name=name,
        steps=[point.step for point in kept],
        last=[point.last for point in kept],
        mean=[point.mean for point in kept],
        min=[point.min for point in kept],
        max=[point.max for point in kept],
        reduced=found.is_outlined or len(kept) < len(found.points),
    )


@router.get("/tensors/{tensor_id}/statistics", response_model=StatisticsAnswer)
def get_statistics(
    request: Request,
    response: Response,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    step: Step = None,
    attempt: OfAttempt = None,
) -> StatisticsAnswer | Response:
    """All statistics of one tensor at one step; tagged, so that 304 can be the answer."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        tensor = get_tensor(session, run_id, tensor_id)
        snapshot = snapshot_at(session, run_id, step, attempt)
        tag = snapshot_tag(request, snapshot, parts_of(session, snapshot.id))
        if (unchanged := not_modified(request, tag)) is not None:
            return unchanged
        values, reasons = statistics_of(session, tensor, snapshot)
        slug = attempt_slug(session, snapshot.attempt_id)
    response.headers.update(freshness(tag))
    return StatisticsAnswer(
        tensor=_reference(tensor),
        step=snapshot.step,
        attempt=slug,
        values=values,
        no_value=reasons,
        words=words(values),
    )


def words(values: Mapping[str, float | None]) -> dict[str, str]:
    """What the numbers of classes stand for, by statistic; none for those without a value."""
    return {
        name: BY_NAME[name].labels[int(value)]
        for name, value in values.items()
        if value is not None and BY_NAME[name].nature is Nature.CLASS
    }


def _bounded(
    found: Iterable[tuple[Tensor, StatisticSeries]], stat: str, points: int
) -> list[SeriesAnswer]:
    answers: list[SeriesAnswer] = []
    total = 0
    for tensor, series in found:
        answers.append(_series(tensor, stat, series, points))
        total += len(answers[-1].steps)
        if total > MOST_POINTS:
            raise InvalidError(
                f"more than {MOST_POINTS} points; ask for fewer `points` or fewer tensors",
                where="points",
            )
    return answers


def _intervals(found: Sequence[ScalarPoint], most: int) -> Sequence[ScalarPoint]:
    columns = [(one.mean, one.min, one.max) for one in found]
    mean, low, high = np.array(columns, dtype=np.float64).reshape(-1, 3).T
    return [found[place] for place in thin_intervals(mean, low, high, most)]


def _series(tensor: Tensor, stat: str, series: StatisticSeries, points: int) -> SeriesAnswer:
    kept = thin(series.values, points)
    return SeriesAnswer(
        tensor=_reference(tensor),
        stat=stat,
        steps=series.steps[kept].tolist(),
        values=[value if math.isfinite(value) else None for value in series.values[kept].tolist()],
        thinned=[],
        reduced=series.is_outlined or len(kept) < len(series.steps),
    )


def _reference(tensor: Tensor) -> TensorReference:
    return TensorReference.model_validate(tensor)
