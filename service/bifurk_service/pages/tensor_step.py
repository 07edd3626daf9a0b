"""A tensor at one step: the histogram of its values, and its spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from numpy.typing import NDArray

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import RunId, TensorId
from bifurk_service.api.spectra import fitted_curve
from bifurk_service.figures.histogram import gaussian_curve, histogram
from bifurk_service.figures.spectrum import NoiseCurve, spectrum
from bifurk_service.pages.drawing import drawn
from bifurk_service.pages.gardens import Grid, column_cache, read_columns
from bifurk_service.pages.tensor_course import TensorCourse, grid_of, read_course
from bifurk_service.pages.tensor_figures import UNITS
from bifurk_service.pages.tensor_reading import OneStep, between_quantiles, read_step
from bifurk_service.pages.views import TensorView
from bifurk_service.services import services
from bifurk_service.stats.distributions.from_quantiles import PROBABILITIES
from bifurk_service.store.models import Tensor
from bifurk_service.store.queries import get_tensor
from bifurk_service.store.run_lists import RunSummary
from bifurk_service.store.spectra import StoredSpectrum
from bifurk_service.store.tensor_courses import course_step

router = APIRouter(prefix="/runs/{run_id}/tensors/{tensor_id}/figures", include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """A run, a tensor, it at a step, and how it is looked at; None before anything is measured.

    ``course`` is of that step alone, ``grid`` holds its values.
    """

    run: RunSummary
    tensor: Tensor
    course: TensorCourse
    grid: Grid | None
    at: OneStep | None
    view: TensorView


def asked(
    request: Request,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    view: Annotated[TensorView, Query()],
) -> Asked:
    """A dependency: reads what the figures of a tensor at a step are drawn from."""
    with services(request).database.read() as session:
        run = visible_run(session, run_id, grant)
        tensor = get_tensor(session, run_id, tensor_id)
        step = course_step(session, run_id, tensor_id, view.step)
        course = read_course(session, run_id, tensor_id, only=step or 0)
        at = None if step is None else read_step(session, run_id, tensor, step, view)
    return Asked(
        run=run, tensor=tensor, course=course, grid=grid_of(course, view), at=at, view=view
    )


AskedOf: TypeAlias = Annotated[Asked, Depends(asked)]


@router.get("/histogram")
def get_tensor_histogram(request: Request, found: AskedOf) -> Response:
    """The values at a step against the Gaussian of their mean and deviation."""
    density, view = density_at(request, found), found.view
    if density is None or found.at is None:
        return Response(status_code=204)
    grid, at = density.grid, found.at
    how = "" if density.is_read else ", from quantiles"
    return drawn(
        [
            histogram(
                grid.edges,
                density.values,
                _gaussian(at, grid),
                title=f"Values at step {at.snapshot.step:,}{how}",
                value_label=UNITS[grid.unit],
                density_scale=view.density,
                theme=view.theme,
            )
        ],
        theme=view.theme,
    )


@router.get("/spectrum")
def get_tensor_spectrum(asked_of: AskedOf) -> Response:
    """The newest spectrum at or before a step against the Marchenko-Pastur curve."""
    at, view = asked_of.at, asked_of.view
    if at is None or at.spectrum is None:
        return Response(status_code=204)
    found = at.spectrum
    fit = fitted_curve(found)
    curve = None
    if fit is not None:
        curve = NoiseCurve(
            values=np.array(fit.values),
            density=np.array(fit.density),
            threshold=float(found.document["raw"]["upper_threshold"]),
        )
    outliers = [one["value"] for one in found.document["raw"].get("outliers", ())]
    return drawn(
        [
            spectrum(
                found.singular_values,
                curve,
                outliers,
                title=_title(found, at.snapshot.step),
                verdict=_verdict(found),
                theme=view.theme,
            )
        ],
        theme=view.theme,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepDensity:
    """Over the bins of ``grid``, float64 [bins]: read, or drawn between the stored quantiles."""

    grid: Grid
    values: NDArray[np.float64]
    is_read: bool


def density_at(request: Request, found: Asked) -> StepDensity | None:
    """Of the step at hand, over its own bins; None where there is nothing to draw.

    Values that are kept of no tensor of its own, or no longer, are drawn between its quantiles.
    """
    if found.at is None or found.grid is None or found.at.no_values:
        return None
    is_read = False
    columns = np.zeros((0, 0))
    if found.tensor.piece_of is None:
        cache, at = column_cache(request), [found.at.snapshot]
        columns = read_columns(cache, services(request), at, found.tensor, found.grid)
        is_read = bool(columns.size and np.isfinite(columns).all())
    if not is_read:
        values = found.course.values
        quantiles = np.array([values[name] for name in PROBABILITIES]).T
        columns = between_quantiles(quantiles, found.grid, std=values["std"])
    if not columns.size or not np.isfinite(columns).all():
        return None
    return StepDensity(grid=found.grid, values=columns[:, 0], is_read=is_read)


def _gaussian(at: OneStep, grid: Grid) -> NDArray[np.float64] | None:
    mean, std = at.values["mean"], at.values["std"]
    if mean is None or std is None:
        return None
    return gaussian_curve(grid.low, grid.high, mean=mean, std=std, unit=grid.unit)


def _title(found: StoredSpectrum, asked_step: int) -> str:
    newest = f", the newest up to step {asked_step:,}" if found.step != asked_step else ""
    return f"Spectrum at step {found.step:,}{newest}"


def _verdict(found: StoredSpectrum) -> str:
    raw, white = found.document["raw"], found.document["biwhitened"]
    if "no_verdict" in raw:
        return str(raw["no_verdict"])
    beyond = f"{raw['above']} above the edge of noise"
    if "no_verdict" not in white:
        beyond += f"; {white['above']} biwhitened"
    return beyond
