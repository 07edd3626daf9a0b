"""One run: a statistic of all layers over steps, the loss and the rate below it, its alerts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import RunId, check_statistics
from bifurk_service.detect.readiness import readiness
from bifurk_service.domain import Severity
from bifurk_service.figures.change import change_since_first
from bifurk_service.figures.columns import columns_of
from bifurk_service.figures.heatmap import AlertMark, heatmap
from bifurk_service.figures.lines import Course, StepMark, lines
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS
from bifurk_service.pages.courses import course_cache
from bifurk_service.pages.drawing import drawn
from bifurk_service.pages.rendering import page, root_of
from bifurk_service.pages.scalars import scalar_course
from bifurk_service.pages.tables import csv_of
from bifurk_service.pages.views import RunView
from bifurk_service.services import services
from bifurk_service.stats.registry import BY_NAME, Nature
from bifurk_service.store.alert_lists import AlertFilter, newest_alerts
from bifurk_service.store.courses import Courses, learning_rates
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert, Tensor
from bifurk_service.store.queries import judged_steps
from bifurk_service.store.runs import attempts_of
from bifurk_service.store.series import find_tensors, scalar_names
from bifurk_service.store.snapshots import snapshot_counts
from bifurk_service.store.tokens import Grant

router = APIRouter(prefix="/runs/{run_id}", include_in_schema=False)

MOST_COLUMNS: Final = 600
"""Of a heatmap: about one a pixel of a laptop's screen at half its width."""
MOST_ALERTS: Final = 500
"""Of one page, the newest of warnings and of the rest; the command line and REST have all."""
WARNED: Final = frozenset({Severity.WARNING.value, Severity.CRITICAL.value})


@router.get("")
def get_run_page(
    request: Request, grant: Reader, run_id: RunId, view: Annotated[RunView, Query()]
) -> HTMLResponse:
    """A run's page; the figures come by themselves."""
    with services(request).database.read() as session:
        context = read_run(session, grant, run_id)
    return page(
        request,
        "run.html",
        view=view,
        statistics=[name for name, one in BY_NAME.items() if one.nature is not Nature.CLASS],
        **context,
    )


def read_run(session: Session, grant: Grant, run_id: int) -> dict[str, Any]:
    """What the page of a run and its report say in words, by the names that templates use."""
    run = visible_run(session, run_id, grant)
    attempts = attempts_of(session, run_id)
    steps = judged_steps(session, attempts[-1].id) if attempts else []
    tensors = find_tensors(session, run_id)
    warnings, infos = (
        newest_alerts(
            session,
            AlertFilter(run_id=run_id, severities=severities, children=False),
            limit=MOST_ALERTS,
        )
        for severities in (tuple(WARNED), (Severity.INFO.value,))
    )
    return {
        "run": run,
        "attempts": attempts,
        "counts": snapshot_counts(session, run_id),
        "readiness": readiness(
            judged=len(steps),
            last_step=steps[-1] if steps else None,
            interval_steps=steps[-1] - steps[-2] if len(steps) > 1 else None,
        ),
        "scalars": scalar_names(session, run_id),
        "tensors": tensors,
        "roles": sorted({tensor.role for tensor in tensors}),
        "alerts": [*warnings, *infos],
        "is_cut": MOST_ALERTS in (len(warnings), len(infos)),
        "warned": WARNED,
    }


@router.get("/figures/overview")
def get_overview(
    request: Request, grant: Reader, run_id: RunId, view: Annotated[RunView, Query()]
) -> Response:
    """The heatmap, the scalar and the learning rate, as one linked document."""
    check_statistics(view.stat)
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        tensors = shown_tensors(session, run_id, view.role)
        ids = [tensor.id for tensor in tensors]
        courses = course_cache(request).courses(session, run_id, view.stat, ids)
        scalar = scalar_course(session, run_id, view.scalar)
        rates = learning_rates(session, run_id)
        alerts = _alerts(session, run_id, view)
    axis = StepAxis.over(courses.steps, view.axis, first=view.first, last=view.last)
    marks = [
        StepMark(step=alert.detected_step, color=COLORS[view.theme].severities[alert.severity])
        for alert in alerts
        if alert.severity in WARNED
    ]
    figures = []
    if len(courses.steps) and tensors:
        figures.append(_heatmap(request, axis, tensors, courses, alerts, view))
    if scalar is not None:
        figures.append(lines(axis, [scalar], title=scalar.name, marks=marks, theme=view.theme))
    rate = Course(name="learning rate", steps=rates.steps, values=rates.rates)
    if np.isfinite(rates.rates).any():
        figures.append(lines(axis, [rate], title=rate.name, marks=marks, theme=view.theme))
    return drawn(figures, theme=view.theme)


@router.get("/figures/overview.csv")
def get_overview_data(
    request: Request, grant: Reader, run_id: RunId, view: Annotated[RunView, Query()]
) -> Response:
    """The heatmap's data, whole: a row a tensor and step."""
    check_statistics(view.stat)
    with services(request).database.read() as session:
        run = visible_run(session, run_id, grant)
        tensors = shown_tensors(session, run_id, view.role)
        ids = [tensor.id for tensor in tensors]
        courses = course_cache(request).courses(session, run_id, view.stat, ids)
    return csv_of(
        f"{run.run}-{view.stat}.csv",
        ("tensor", "layer", "role", "step", view.stat),
        (
            (tensor.name, tensor.layer, tensor.role, step, value)
            for tensor, row in zip(tensors, courses.values, strict=True)
            for step, value in zip(courses.steps.tolist(), row.tolist(), strict=True)
            if value == value  # noqa: PLR0124 - not NaN
        ),
    )


def shown_tensors(session: Session, run_id: int, role: str) -> list[Tensor]:
    """A run's whole tensors of a role, or of all, by role and depth: the rows of its heatmap."""
    found = [t for t in find_tensors(session, run_id, role=role or None) if t.piece_of is None]
    return sorted(found, key=lambda t: (t.role, -1 if t.layer is None else t.layer, t.id))


def _heatmap(
    request: Request,
    axis: StepAxis,
    tensors: Sequence[Tensor],
    courses: Courses,
    alerts: Sequence[StoredAlert],
    view: RunView,
) -> object:
    statistic = BY_NAME[view.stat]
    values, title = (
        courses.values,
        f"{view.stat} ({statistic.unit})" if statistic.unit else view.stat,
    )
    if view.color == "change":
        values = change_since_first(values, log_scale=statistic.log_scale)
        how = "doublings" if statistic.log_scale else "its own spreads"
        title = f"{view.stat}, change since its first value in {how}"
    rows = {tensor.id: row for row, tensor in enumerate(tensors)}
    return heatmap(
        axis,
        [tensor.name for tensor in tensors],
        columns_of(courses.steps, values, columns=MOST_COLUMNS, scale=view.axis),
        title=title,
        coloring=view.color,
        alerts=[_mark(alert, rows, root_of(request)) for alert in alerts],
        theme=view.theme,
    )


def _mark(alert: StoredAlert, rows: dict[int, int], root: str) -> AlertMark:
    return AlertMark(
        step=alert.detected_step,
        rows=[rows[one["id"]] for one in alert.tensors if one["id"] in rows],
        severity=alert.severity,
        sentence=alert.sentence,
        url=f"{root}/alerts/{alert.id}",
    )


def _alerts(session: Session, run_id: int, view: RunView) -> list[StoredAlert]:
    severities = () if view.alerts == "all" else tuple(WARNED)
    wanted = AlertFilter(run_id=run_id, severities=severities, silenced=False, superseded=False)
    return newest_alerts(session, wanted, limit=MOST_ALERTS)
