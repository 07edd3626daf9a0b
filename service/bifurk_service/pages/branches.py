"""A role's layers: their courses by branch after a fork, the order of onset, the profile."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import RunId
from bifurk_service.figures.branches import ForkMark, profile, trajectories
from bifurk_service.figures.onset import OnsetRow, onsets
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS, ThemeName
from bifurk_service.pages.branch_courses import (
    choose,
    chosen_layers,
    title_of_layers,
    value_scale_of,
)
from bifurk_service.pages.branch_reading import read_layers, read_profiles
from bifurk_service.pages.branch_rows import depth_rows, trajectory_rows
from bifurk_service.pages.drawing import drawn
from bifurk_service.pages.forks import (
    MOST_FORKS,
    branch_in,
    branch_name,
    concerns,
    forks_of,
    layer_groups,
)
from bifurk_service.pages.rendering import page, root_of
from bifurk_service.pages.tables import csv_of
from bifurk_service.pages.views import BranchesView
from bifurk_service.services import services
from bifurk_service.stats.registry import BY_NAME, Nature
from bifurk_service.store.events import last_event_id
from bifurk_service.store.imports import imported_statistics
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.series import find_tensors

router = APIRouter(prefix="/runs/{run_id}/branches", include_in_schema=False)

View = Annotated[BranchesView, Query()]


@router.get("")
def get_branches_page(request: Request, grant: Reader, run_id: RunId, view: View) -> HTMLResponse:
    """The page; the figures come by themselves."""
    with services(request).database.read() as session:
        newest_event = last_event_id(session)
        run = visible_run(session, run_id, grant)
        groups = layer_groups(find_tensors(session, run_id))
        forks = forks_of(session, run_id, view.alert)
        own = [one.name for one in imported_statistics(session, run_id)]
    chosen = choose(groups, forks, view)
    return page(
        request,
        "branches.html",
        newest_event=newest_event,
        run=run,
        view=view,
        groups=groups,
        chosen=chosen,
        forks=forks,
        most_forks=MOST_FORKS,
        branch_in=branch_in,
        branch_name=branch_name,
        statistics=[n for n, one in BY_NAME.items() if one.nature is not Nature.CLASS] + own,
    )


@router.get("/figures/trajectories")
def get_trajectories(request: Request, grant: Reader, run_id: RunId, view: View) -> Response:
    """The layers' courses over steps."""
    found = chosen_layers(request, grant, run_id, view)
    layers = [] if found is None else read_layers(request, found, view)
    ends = [
        step for layer in layers for step in (*layer.course.steps[:1], *layer.course.steps[-1:])
    ]
    if found is None or not ends:
        return Response(status_code=204)
    axis = StepAxis.over([min(ends), max(ends)], view.axis, first=view.first, last=view.last)
    group = found.chosen.group
    plot = trajectories(
        axis,
        layers,
        title=title_of_layers(found, view),
        branches=found.branches,
        forks=[_mark(fork, root_of(request)) for fork in found.forks if concerns(fork, group)],
        value_scale=value_scale_of(view),
        theme=view.theme,
    )
    return drawn([plot], theme=view.theme)


@router.get("/figures/trajectories.csv")
def get_trajectories_data(request: Request, grant: Reader, run_id: RunId, view: View) -> Response:
    """The layers' courses, whole: a row a layer and step."""
    shown = chosen_layers(request, grant, run_id, view)
    columns = ("tensor", "layer", "branch", "step", "value")
    if shown is None:
        return csv_of(f"{run_id}-branches.csv", columns, ())
    rows = trajectory_rows(services(request).database, shown, view)
    return csv_of(f"{shown.run}-{shown.chosen.group.key}.csv", columns, rows)


@router.get("/figures/depth")
def get_depth_profile(request: Request, grant: Reader, run_id: RunId, view: View) -> Response:
    """The statistic by depth at a step, and at the first that is looked at."""
    found = chosen_layers(request, grant, run_id, view)
    profiles = None if found is None else read_profiles(request, found, view)
    if found is None or profiles is None:
        return Response(status_code=204)
    plot = profile(
        profiles.layers,
        profiles.at,
        profiles.first,
        title=title_of_layers(found, view),
        branches=found.branches,
        value_scale=value_scale_of(view),
        theme=view.theme,
    )
    return drawn([plot], theme=view.theme)


@router.get("/figures/depth.csv")
def get_depth_profile_data(request: Request, grant: Reader, run_id: RunId, view: View) -> Response:
    """The statistic by depth at every step: a row a step, a column a layer."""
    shown, name = chosen_layers(request, grant, run_id, view), f"run-{run_id}-depth.csv"
    if shown is None:
        return csv_of(name, ("step",), ())
    columns = ("step", *(tensor.name for tensor in shown.chosen.group.tensors))
    return csv_of(name, columns, depth_rows(services(request).database, shown, view))


@router.get("/figures/order")
def get_branch_order(request: Request, grant: Reader, run_id: RunId, view: View) -> Response:
    """Which layers of a fork began when."""
    found = chosen_layers(request, grant, run_id, view)
    if found is None or found.chosen.fork is None:
        return Response(status_code=204)
    fork = found.chosen.fork
    rows = [
        OnsetRow(
            name=one["name"],
            first=one["onset_first_step"],
            last=one["onset_last_step"],
            text=branch_name(fork, branch_in(fork, one)),
            color=_color(branch_in(fork, one), view.theme),
            url=f"{root_of(request)}/runs/{run_id}/tensors/{one['id']}",
        )
        for one in fork.tensors
    ]
    plot = onsets(
        rows,
        detected=fork.detected_step,
        severity=fork.severity,
        theme=view.theme,
    )
    return drawn([plot], theme=view.theme)


@router.get("/figures/order.csv")
def get_branch_order_data(request: Request, grant: Reader, run_id: RunId, view: View) -> Response:
    """The order of onset of a fork's layers."""
    found = chosen_layers(request, grant, run_id, view)
    fork = None if found is None else found.chosen.fork
    columns = ("name", "layer", "onset_first_step", "onset_last_step", "before", "after")
    rows = (
        []
        if fork is None
        else [(*(one.get(name) for name in columns), branch_in(fork, one)) for one in fork.tensors]
    )
    return csv_of(f"run-{run_id}-order.csv", (*columns, "branch"), rows)


def _color(branch: int | None, theme: ThemeName) -> str:
    colors = COLORS[theme]
    return colors.muted if branch is None else colors.lines[branch]


def _mark(fork: StoredAlert, root: str) -> ForkMark:
    return ForkMark(
        step=fork.detected_step,
        severity=fork.severity,
        sentence=fork.sentence,
        url=f"{root}/alerts/{fork.id}",
    )
