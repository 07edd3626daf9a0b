"""The data behind a tensor's figures, as CSV."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from fastapi import APIRouter, Request, Response

from bifurk_service.pages.tables import csv_of
from bifurk_service.pages.tensor_course import READ, grid_of
from bifurk_service.pages.tensor_figures import Planted
from bifurk_service.pages.tensor_reading import over_steps, plant
from bifurk_service.pages.tensor_step import Asked, AskedOf, density_at
from bifurk_service.services import services
from bifurk_service.store.series import statistic_courses
from bifurk_service.store.streaming import step_ranges
from bifurk_service.store.tensor_courses import course_spectrum_steps, leading_values

router = APIRouter(prefix="/runs/{run_id}/tensors/{tensor_id}/figures", include_in_schema=False)

ALL_VALUES = 1 << 20
"""Singular values of one matrix: more than any has."""
SPECTRA_AT_ONCE = 50
"""Read for a download before they are sent."""


@router.get("/garden.csv")
def get_tensor_garden_data(request: Request, found: AskedOf) -> Response:
    """The densities that the garden shows: a row a step and bin."""
    rows: Iterator[tuple[object, ...]] = iter(())
    with services(request).database.read() as session:
        seen = over_steps(session, found.run.id, found.tensor.id, found.view)
    grid = grid_of(seen.course, found.view)
    if grid is not None:
        planted = plant(request, found.run.id, found.tensor, seen, grid=grid, view=found.view)
        rows = _cells(planted)
    return csv_of(f"{_name(found)}-garden.csv", ("step", "low", "high", "density"), rows)


def _cells(planted: Planted) -> Iterator[tuple[object, ...]]:
    edges = planted.grid.edges.tolist()
    for step, column in zip(planted.steps.tolist(), planted.densities.T, strict=True):
        for low, high, value in zip(edges[:-1], edges[1:], column.tolist(), strict=True):
            yield step, low, high, _known(value)


@router.get("/statistics.csv")
def get_tensor_statistics_data(request: Request, found: AskedOf) -> Response:
    """The statistics that the page draws, at every step: a row a step."""
    database, tensor_id = services(request).database, found.tensor.id
    ranges = step_ranges(database, found.run.id)

    def rows() -> Iterator[tuple[object, ...]]:
        for first, last in ranges:
            with database.read() as session:
                [course] = statistic_courses(
                    session, found.run.id, READ, [tensor_id], first_step=first, last_step=last
                )
            for step, values in zip(course.steps.tolist(), course.values.tolist(), strict=True):
                yield step, *map(_known, values)

    return csv_of(f"{_name(found)}-statistics.csv", ("step", *READ), rows())


@router.get("/spectra.csv")
def get_tensor_spectra_data(request: Request, found: AskedOf) -> Response:
    """Every stored singular value: a row a step and rank."""
    run_id, tensor_id = found.run.id, found.tensor.id

    def rows() -> Iterator[tuple[object, ...]]:
        database = services(request).database
        with database.read() as session:
            steps = course_spectrum_steps(session, run_id, tensor_id)
        for start in range(0, len(steps), SPECTRA_AT_ONCE):
            some = steps[start : start + SPECTRA_AT_ONCE]
            with database.read() as session:
                spectra = leading_values(session, run_id, tensor_id, some, count=ALL_VALUES)
            for one in spectra:
                edge = one.document["raw"].get("upper_threshold")
                for rank, value in enumerate(one.values.tolist(), start=1):
                    yield one.step, rank, value, edge

    return csv_of(f"{_name(found)}-spectra.csv", ("step", "rank", "singular_value", "edge"), rows())


@router.get("/histogram.csv")
def get_tensor_histogram_data(request: Request, found: AskedOf) -> Response:
    """The histogram's bins."""
    density = density_at(request, found)
    edges = [] if density is None else density.grid.edges.tolist()
    drawn_values = [] if density is None else density.values.tolist()
    return csv_of(
        f"{_name(found)}-histogram.csv",
        ("low", "high", "density"),
        zip(edges[:-1], edges[1:], drawn_values, strict=False),
    )


@router.get("/spectrum.csv")
def get_tensor_spectrum_data(found: AskedOf) -> Response:
    """The singular values at a step."""
    one = found.at.spectrum if found.at is not None else None
    values = [] if one is None else one.singular_values.tolist()
    return csv_of(
        f"{_name(found)}-spectrum.csv",
        ("step", "rank", "singular_value"),
        ((one.step if one else None, rank, value) for rank, value in enumerate(values, start=1)),
    )


def _name(found: Asked) -> str:
    return f"{found.run.run}-{found.tensor.name}"


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
