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
from bifurk_service.pages.tensor_course import MOST_POINTS, grid_of
from bifurk_service.pages.tensor_figures import (
    LEADING,
    garden_of,
    mark_step,
    motion_of,
    spectra_of,
)
from bifurk_service.pages.tensor_kin import alerts_naming, kin_of
from bifurk_service.pages.tensor_reading import over_steps, plant, read_step
from bifurk_service.pages.tensor_steps import close_steps
from bifurk_service.pages.views import TensorView
from bifurk_service.services import services
from bifurk_service.store.alert_lists import alerts_of
from bifurk_service.store.carried_steps import carried_steps
from bifurk_service.store.engine import Session
from bifurk_service.store.events import last_event_id
from bifurk_service.store.models import Tensor
from bifurk_service.store.queries import get_tensor
from bifurk_service.store.series import find_tensors
from bifurk_service.store.tensor_courses import (
    LeadingValues,
    course_spectrum_steps,
    course_step,
    leading_values,
)
from bifurk_service.store.tensor_spans import length_of
from bifurk_service.store.timeline import timeline

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
        newest_event = last_event_id(session)
        run = visible_run(session, run_id, grant)
        tensor = get_tensor(session, run_id, tensor_id)
        step = course_step(session, run_id, tensor_id, view.step)
        length, course = length_of(session, run_id), timeline(session, run_id)
        scrubbed = carried_steps(session, "statistics", tensor_id, course, most=MOST_SCRUBBED)
        steps = scrubbed.steps if step is None else np.union1d(scrubbed.steps, [step])
        at = None if step is None else read_step(session, run_id, tensor, step, view)
        kin = kin_of(tensor, find_tensors(session, run_id))
        alerts = alerts_naming(tensor, alerts_of(session, run_id))
    return page(
        request,
        "tensor.html",
        newest_event=newest_event,
        view=view,
        run=run,
        tensor=tensor,
        kin=kin,
        steps=steps.tolist(),
        length=length,
        most_points=MOST_POINTS,
        every_step=scrubbed.is_whole,
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
        seen = over_steps(session, run_id, tensor_id, view)
        step = course_step(session, run_id, tensor_id, view.step)
        spectra, are_all = _spectra(session, run_id, tensor_id, view, is_long=seen.is_outlined)
        forks = _forks(session, run_id, tensor, view, root_of(request))
    if step is None or not len(seen.course.steps):
        return Response(status_code=204)
    thin = seen.course.thinned(view)
    axis = StepAxis.over(thin.steps, view.axis, first=view.first, last=view.last)
    marks = [
        StepMark(step=fork.step, color=COLORS[view.theme].severities[fork.severity])
        for fork in forks
        if fork.severity in WARNED
    ]
    figures: list[figure] = []
    grid = grid_of(seen.course, view)
    if grid is not None:
        planted = plant(request, run_id, tensor, seen, grid=grid, view=view)
        figures.append(garden_of(axis, thin, planted, forks, view))
    singular = spectra_of(axis, spectra, marks, view.theme, are_all=are_all)
    if singular is not None:
        figures.append(singular)
    figures.extend(motion_of(axis, thin, marks, view.theme))
    mark_step(figures, axis, step, view.theme)
    return drawn(figures, theme=view.theme)


def _spectra(
    session: Session, run_id: int, tensor_id: int, view: TensorView, *, is_long: bool
) -> tuple[list[LeadingValues], bool]:
    """Some spectra, and whether there are no others."""
    if is_long:
        stored = close_steps(session, "spectra", run_id, tensor_id, view)
        steps, is_whole = stored.steps, stored.is_whole
    else:
        every = course_spectrum_steps(session, run_id, tensor_id)
        steps, is_whole = np.array(every, dtype=np.int64), True
    chosen = spread_steps(steps, MOST_SPECTRA, view.axis, first=view.first, last=view.last)
    found = leading_values(session, run_id, tensor_id, chosen.tolist(), count=LEADING)
    return found, is_whole and len(chosen) == len(steps)


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
