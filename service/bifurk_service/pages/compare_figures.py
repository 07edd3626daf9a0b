"""The figures of a comparison: densities, profiles by depth, courses, and the band of good runs."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from bifurk_service.api.grants import Reader
from bifurk_service.api.parameters import check_statistics
from bifurk_service.figures.baseline import HeldCourse, against_band
from bifurk_service.figures.comparison import (
    HEIGHT,
    Side,
    densities,
    draw_courses,
    plain_plot,
    profiles,
)
from bifurk_service.figures.lines import ValueScale
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.pages.baselines import good_runs, held_against, title_of_held
from bifurk_service.pages.compared import Compared, compared
from bifurk_service.pages.compared_courses import (
    MOST_SINGLE,
    compared_courses,
    profile_values,
)
from bifurk_service.pages.compared_densities import compared_densities
from bifurk_service.pages.drawing import drawn
from bifurk_service.pages.held_courses import WHOLE
from bifurk_service.pages.statistic_courses import title_of
from bifurk_service.pages.tables import csv_of
from bifurk_service.pages.tensor_figures import UNITS
from bifurk_service.pages.views import CompareView
from bifurk_service.services import services
from bifurk_service.stats.registry import BY_NAME

router = APIRouter(prefix="/compare/figures", include_in_schema=False)

View = Annotated[CompareView, Query()]
ALIGNED_BY = {"tokens": "tokens seen", "loss": "lowest mean loss so far"}


@router.get("/densities")
def get_compared_densities(request: Request, grant: Reader, view: View) -> Response:
    """The values of the chosen tensor at both sides, over the same bins."""
    found = _compared(request, grant, view)
    read = None if found is None else compared_densities(services(request), found, view)
    if found is None or read is None:
        return Response(status_code=204)
    edges, both = read
    sides = [
        Side(name=name, values=values)
        for name, values in zip(found.labels, both, strict=True)
        if values is not None
    ]
    plot = densities(
        edges,
        sides,
        title=f"Values of {found.chosen}",
        value_label=UNITS[view.unit],
        density_scale=view.density,
        theme=view.theme,
    )
    return drawn([plot], theme=view.theme)


@router.get("/densities.csv")
def get_compared_densities_data(request: Request, grant: Reader, view: View) -> Response:
    """The bins: a row a bin, a density a side."""
    found = _compared(request, grant, view)
    read = None if found is None else compared_densities(services(request), found, view)
    edges, both = read or (np.zeros(1), (None, None))
    this, other = (np.full(len(edges) - 1, np.nan) if one is None else one for one in both)
    names = ("this", "other") if found is None else found.labels
    rows = zip(edges[:-1].tolist(), edges[1:].tolist(), this.tolist(), other.tolist(), strict=True)
    return csv_of("compared-densities.csv", ("low", "high", *names), rows)


@router.get("/profiles")
def get_compared_profiles(request: Request, grant: Reader, view: View) -> Response:
    """The statistic by depth at both sides, of the layers that do what the chosen tensor does."""
    found = _compared(request, grant, view)
    if found is None or found.group is None:
        return Response(status_code=204)
    group = found.group
    names = [tensor.name for tensor in group.tensors]
    both = profile_values(request, found, view)
    if not any(np.isfinite(values).any() for values in both):
        return Response(status_code=204)
    plot = profiles(
        [str(tensor.layer) for tensor in group.tensors],
        [Side(name=name, values=one) for name, one in zip(found.labels, both, strict=True)],
        title=f"{title_of(BY_NAME[view.stat])} by layer, {group.name}",
        chosen=names.index(found.chosen),
        value_scale=_value_scale(view),
        theme=view.theme,
    )
    return drawn([plot], theme=view.theme)


@router.get("/profiles.csv")
def get_compared_profiles_data(request: Request, grant: Reader, view: View) -> Response:
    """The profile: a row a layer."""
    found = _compared(request, grant, view)
    if found is None or found.group is None:
        return csv_of("compared-profiles.csv", ("layer", "tensor", "this", "other"), ())
    this, other = profile_values(request, found, view)
    rows = zip(found.group.tensors, this.tolist(), other.tolist(), strict=True)
    return csv_of(
        "compared-profiles.csv",
        ("layer", "tensor", *found.labels),
        ((one.layer, one.name, mine, theirs) for one, mine, theirs in rows),
    )


@router.get("/courses")
def get_compared_courses(request: Request, grant: Reader, view: View) -> Response:
    """The statistic of the chosen tensor over steps, tokens or loss, of both runs."""
    found = _compared(request, grant, view)
    if found is None or not found.chosen:
        return Response(status_code=204)
    courses = compared_courses(request, found, view, most_single=MOST_SINGLE)
    if not courses:
        return Response(status_code=204)
    title = f"{title_of(BY_NAME[view.stat])} of {found.chosen}"
    if found.group is not None and view.align != "loss":
        title += f"; shaded: its {len(found.group.tensors)} layers"
    if view.align == "steps":
        steps = np.unique(np.concatenate([course.steps for course in courses]))
        axis = StepAxis.over(steps, view.axis, first=view.first, last=view.last)
        plot = axis.plot(title, height=HEIGHT, value_scale=_value_scale(view))
    else:
        plot = plain_plot(
            title,
            ALIGNED_BY[view.align],
            descending=view.align == "loss",
            x_scale=view.axis,
            value_scale=_value_scale(view),
        )
    draw_courses(plot, courses, value_scale=_value_scale(view), theme=view.theme)
    return drawn([plot], theme=view.theme)


@router.get("/courses.csv")
def get_compared_courses_data(request: Request, grant: Reader, view: View) -> Response:
    """Both courses: a row a side and snapshot, with its place on the axis they are aligned by."""
    found = _compared(request, grant, view)
    courses = [] if found is None or not found.chosen else compared_courses(request, found, view)
    return csv_of(
        f"compared-{view.stat}.csv",
        ("side", "step", view.align, view.stat),
        (
            (course.name, step, at if view.align != "steps" else step, value)
            for course in courses
            for step, at, value in zip(
                course.steps.tolist(), course.x.tolist(), course.values.tolist(), strict=True
            )
        ),
    )


@router.get("/baseline")
def get_baseline(request: Request, grant: Reader, view: View) -> Response:
    """The band of the good runs for the chosen tensor's layers, and the run against it."""
    check_statistics(view.stat)
    with services(request).database.read() as session:
        found = compared(session, grant, view)
        good = good_runs(session, grant, view)
        if found is None or not found.chosen or not good:
            return Response(status_code=204)
        [held] = held_against(request, session, found.this.run.id, good, view, only=found.chosen)
    if not np.isfinite(held.band.middle).any():
        return Response(status_code=204)
    plot = against_band(
        StepAxis.over(held.band.steps, view.axis, first=view.first, last=view.last),
        HeldCourse(
            name=found.this.run.display_name or found.this.run.run,
            values=held.values,
            band=held.band,
            left=held.left,
            runs=held.good,
        ),
        title=title_of_held(held, BY_NAME[view.stat]),
        value_scale=_value_scale(view),
        theme=view.theme,
    )
    return drawn([plot], theme=view.theme)


@router.get("/baseline.csv")
def get_baseline_data(request: Request, grant: Reader, view: View) -> Response:
    """The band and the run's course, of every group of layers: a row a group and step."""
    check_statistics(view.stat)
    with services(request).database.read() as session:
        found = compared(session, grant, view)
        good = good_runs(session, grant, view)
        held = (
            []
            if found is None or not good
            else held_against(request, session, found.this.run.id, good, view, near=WHOLE)
        )
    columns = ("tensors", "step", "low", "median", "high", "least", "most", view.stat)
    return csv_of(
        f"baseline-{view.stat}.csv",
        columns,
        (
            (one.work.name, *row)
            for one in held
            for row in zip(
                *(
                    column.tolist()
                    for column in (
                        one.band.steps, one.band.low, one.band.middle, one.band.high,
                        one.band.least, one.band.most, one.values,
                    )
                ),
                strict=True,
            )
        ),
    )  # fmt: skip


def _compared(request: Request, grant: Reader, view: CompareView) -> Compared | None:
    check_statistics(view.stat)
    with services(request).database.read() as session:
        return compared(session, grant, view)


def _value_scale(view: CompareView) -> ValueScale:
    if view.values == "auto":
        return "log" if BY_NAME[view.stat].log_scale else "linear"
    return view.values
