"""A run's first figure: a statistic of all layers over steps, a scalar and the rate below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np
from bokeh.plotting import figure
from fastapi import APIRouter, Query, Request, Response

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import RunId
from bifurk_service.figures.change import change_since_first
from bifurk_service.figures.columns import columns_of, narrow_enough
from bifurk_service.figures.heatmap import AlertMark, heatmap
from bifurk_service.figures.lines import MOST_POINTS, Course, StepMark, lines
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS
from bifurk_service.pages.attempts import branch_courses
from bifurk_service.pages.drawing import drawn
from bifurk_service.pages.rendering import root_of
from bifurk_service.pages.run import MOST_ALERTS, WARNED
from bifurk_service.pages.scalars import scalar_course
from bifurk_service.pages.statistic_courses import statistic_matrix, statistic_named, title_of
from bifurk_service.pages.tables import csv_of, rows_of
from bifurk_service.pages.views import RunView
from bifurk_service.services import services
from bifurk_service.stats.registry import Statistic
from bifurk_service.stats.spans import Spans, single_steps
from bifurk_service.store.alert_lists import AlertFilter, newest_alerts
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert, Tensor
from bifurk_service.store.outlined_courses import outlined_rates
from bifurk_service.store.runs import attempts_of
from bifurk_service.store.series import find_tensors
from bifurk_service.store.span_courses import read_spans
from bifurk_service.store.streaming import streamed_series
from bifurk_service.store.sums import measured_until
from bifurk_service.store.timeline import timeline

router = APIRouter(prefix="/runs/{run_id}", include_in_schema=False)

MOST_COLUMNS: Final = 600
"""Of a heatmap: about one a pixel of a laptop's screen at half its width."""
MOST_SINGLE: Final = 250_000
"""Values read one by one for a picture; of a longer run, what is condensed is read."""


@router.get("/figures/overview")
def get_overview(
    request: Request, grant: Reader, run_id: RunId, view: Annotated[RunView, Query()]
) -> Response:
    """The heatmap, the scalar and the learning rate, as one linked document."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        statistic = statistic_named(session, run_id, view.stat)
        tensors = shown_tensors(session, run_id, view.role)
        spans = _spans(request, session, run_id, tensors, view)
        attempt = view.attempt or None
        scalar = scalar_course(session, run_id, view.scalar, attempt)
        branches = [] if attempt else branch_courses(session, run_id, view.scalar)
        rates = outlined_rates(session, run_id, attempt, points=MOST_POINTS)
        alerts = _alerts(session, run_id, view)
    axis = StepAxis.over(spans.steps(), view.axis, first=view.first, last=view.last)
    marks = [
        StepMark(step=alert.detected_step, color=COLORS[view.theme].severities[alert.severity])
        for alert in alerts
        if alert.severity in WARNED
    ]
    figures = []
    if len(spans.first) and tensors:
        marked = _marked(alerts, tensors, root_of(request))
        figures.append(_heatmap(axis, tensors, spans, statistic, marked, view))
    if scalar is not None:
        figures.append(
            lines(axis, [scalar, *branches], title=scalar.name, marks=marks, theme=view.theme)
        )
    rate = Course(name="learning rate", steps=rates.steps, values=rates.rates)
    if np.isfinite(rates.rates).any():
        figures.append(lines(axis, [rate], title=rate.name, marks=marks, theme=view.theme))
    return drawn(figures, theme=view.theme)


@router.get("/figures/overview.csv")
def get_overview_data(
    request: Request, grant: Reader, run_id: RunId, view: Annotated[RunView, Query()]
) -> Response:
    """The heatmap's data, whole: a row a tensor and step."""
    database, attempt = services(request).database, view.attempt or None
    with database.read() as session:
        run = visible_run(session, run_id, grant)
        statistic_named(session, run_id, view.stat)
        timeline(session, run_id, attempt)  # refused before the first byte is sent
        tensors = shown_tensors(session, run_id, view.role)
    ids = [tensor.id for tensor in tensors]
    parts = streamed_series(database, run_id, view.stat, ids, attempt=attempt)
    return csv_of(
        f"{run.run}-{view.stat}.csv",
        ("tensor", "layer", "role", "step", view.stat),
        rows_of(parts, tensors, without_value=False),
    )


def shown_tensors(session: Session, run_id: int, role: str) -> list[Tensor]:
    """A run's whole tensors of a role, or of all, by role and depth: the rows of its heatmap."""
    found = [t for t in find_tensors(session, run_id, role=role or None) if t.piece_of is None]
    return sorted(found, key=lambda t: (t.role, -1 if t.layer is None else t.layer, t.id))


def _spans(
    request: Request, session: Session, run_id: int, tensors: Sequence[Tensor], view: RunView
) -> Spans:
    """Every value of a run of usual length, stretches' extremes of a long one."""
    attempt = view.attempt or None
    measured, last = measured_until(session, run_id)
    if measured * len(tensors) <= MOST_SINGLE:
        courses = statistic_matrix(request, session, run_id, view.stat, tensors, attempt)
        return single_steps(courses.steps, courses.values)
    return read_spans(
        session,
        run_id,
        view.stat,
        [tensor.id for tensor in tensors],
        narrow=narrow_enough(last, columns=MOST_COLUMNS, scale=view.axis),
        attempt=attempt,
    )


def _heatmap(
    axis: StepAxis,
    tensors: Sequence[Tensor],
    spans: Spans,
    statistic: Statistic,
    alerts: Sequence[AlertMark],
    view: RunView,
) -> figure:
    title = title_of(statistic)
    if view.color == "change":
        spans = change_since_first(spans, log_scale=statistic.log_scale)
        how = "doublings" if statistic.log_scale else "its own spreads"
        title = f"{view.stat}, change since its first value in {how}"
    return heatmap(
        axis,
        [tensor.name for tensor in tensors],
        columns_of(spans, columns=MOST_COLUMNS, scale=view.axis),
        title=title,
        coloring=view.color,
        alerts=alerts,
        theme=view.theme,
    )


def _marked(alerts: Sequence[StoredAlert], tensors: Sequence[Tensor], root: str) -> list[AlertMark]:
    rows = {tensor.id: row for row, tensor in enumerate(tensors)}
    return [
        AlertMark(
            step=alert.detected_step,
            rows=[rows[one["id"]] for one in alert.tensors if one["id"] in rows],
            severity=alert.severity,
            sentence=alert.sentence,
            url=f"{root}/alerts/{alert.id}",
        )
        for alert in alerts
    ]


def _alerts(session: Session, run_id: int, view: RunView) -> list[StoredAlert]:
    severities = () if view.alerts == "all" else tuple(WARNED)
    superseded = None if view.attempt else False
    wanted = AlertFilter(
        run_id=run_id, severities=severities, silenced=False, superseded=superseded
    )
    found = newest_alerts(session, wanted, limit=MOST_ALERTS)
    if not view.attempt:
        return found
    own = {one.id for one in attempts_of(session, run_id) if one.slug == view.attempt}
    return [alert for alert in found if alert.attempt_id in own]
