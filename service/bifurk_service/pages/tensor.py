"""One tensor: its garden over steps, and its values, spectrum and statistics at one of them."""

from __future__ import annotations

from typing import Annotated, Final

import numpy as np
from bokeh.plotting import figure
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import RunId, TensorId
from bifurk_service.domain import Severity
from bifurk_service.figures.fork_marks import Fork
from bifurk_service.figures.lines import StepMark
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS
from bifurk_service.pages.drawing import drawn
from bifurk_service.pages.gardens import spread_steps
from bifurk_service.pages.rendering import page, root_of
from bifurk_service.pages.tensor_course import grid_of, read_course
from bifurk_service.pages.tensor_figures import (
    LEADING,
    garden_of,
    mark_step,
    motion_of,
    spectra_of,
)
from bifurk_service.pages.tensor_kin import alerts_naming, kin_of
from bifurk_service.pages.tensor_reading import nearest_step, plant, read_step
from bifurk_service.pages.views import TensorView
from bifurk_service.services import services
from bifurk_service.store.alert_lists import alerts_of
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Tensor
from bifurk_service.store.queries import get_tensor
from bifurk_service.store.series import find_tensors, statistic_courses
from bifurk_service.store.tensor_courses import (
    LeadingValues,
    course_spectrum_steps,
    leading_values,
)

router = APIRouter(prefix="/runs/{run_id}/tensors/{tensor_id}", include_in_schema=False)

MOST_SCRUBBED: Final = 5_000
"""Steps that the slider stops at; of more, evenly spaced ones, and the one asked for."""
MOST_SPECTRA: Final = 300
"""Read for the spectrum over steps."""
WARNED: Final = frozenset({Severity.WARNING.value, Severity.CRITICAL.value})


@router.get("")
def get_tensor_page(
    request: Request,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    view: Annotated[TensorView, Query()],
) -> HTMLResponse:
    """A tensor's page; the figures come by themselves."""
    with services(request).database.read() as session:
        run = visible_run(session, run_id, grant)
        tensor = get_tensor(session, run_id, tensor_id)
        [counted] = statistic_courses(session, run_id, ("count",), [tensor_id])
        step = nearest_step(counted.steps, view.step)
        steps = spread_steps(counted.steps, MOST_SCRUBBED, "linear")
        if step is not None:
            steps = np.union1d(steps, [step])
        at = None if step is None else read_step(session, run_id, tensor, step, view)
        kin = kin_of(tensor, find_tensors(session, run_id))
        alerts = alerts_naming(tensor, alerts_of(session, run_id))
    return page(
        request,
        "tensor.html",
        view=view,
        run=run,
        tensor=tensor,
        kin=kin,
        steps=steps.tolist(),
        step=step,
        at=at,
        alerts=alerts[::-1],
    )


@router.get("/figures/garden")
def get_tensor_garden(
    request: Request,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    view: Annotated[TensorView, Query()],
) -> Response:
    """The garden, the spectrum over steps and the motion, as one linked document."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        tensor = get_tensor(session, run_id, tensor_id)
        course = read_course(session, run_id, tensor_id)
        spectra = _spectra(session, run_id, tensor_id, view)
        forks = _forks(session, run_id, tensor, view, root_of(request))
    step = nearest_step(course.steps, view.step)
    if step is None:
        return Response(status_code=204)
    axis = StepAxis.over(course.steps, view.axis, first=view.first, last=view.last)
    marks = [
        StepMark(step=fork.step, color=COLORS[view.theme].severities[fork.severity])
        for fork in forks
        if fork.severity in WARNED
    ]
    figures: list[figure] = []
    grid = grid_of(course, view)
    if grid is not None:
        planted = plant(request, run_id, tensor, course, grid=grid, view=view)
        figures.append(garden_of(axis, course, planted, forks, view))
    over_steps = spectra_of(axis, spectra, marks, view.theme)
    if over_steps is not None:
        figures.append(over_steps)
    figures.extend(motion_of(axis, course.thinned(view.axis), marks, view.theme))
    mark_step(figures, axis, step, view.theme)
    return drawn(figures, theme=view.theme)


def _spectra(
    session: Session, run_id: int, tensor_id: int, view: TensorView
) -> list[LeadingValues]:
    every = np.array(course_spectrum_steps(session, run_id, tensor_id), dtype=np.int64)
    chosen = spread_steps(every, MOST_SPECTRA, view.axis, first=view.first, last=view.last)
    return leading_values(session, run_id, tensor_id, chosen.tolist(), count=LEADING)


def _forks(
    session: Session, run_id: int, tensor: Tensor, view: TensorView, root: str
) -> list[Fork]:
    """Alerts that name the tensor and that people are told of."""
    return [
        Fork(
            step=alert.detected_step,
            severity=alert.severity,
            sentence=alert.sentence,
            url=f"{root}/alerts/{alert.id}",
        )
        for alert in alerts_naming(tensor, alerts_of(session, run_id))
        if not alert.superseded
        and not alert.silenced_by
        and (view.alerts == "all" or alert.severity in WARNED)
    ]
