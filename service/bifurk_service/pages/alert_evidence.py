"""The figures of an alert: what its tensors did around the onset, and which began when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from bifurk_service.api.grants import Reader
from bifurk_service.api.parameters import AlertId
from bifurk_service.figures.evidence import (
    Onset,
    draw_marks,
    draw_onset,
    evidence,
)
from bifurk_service.figures.legend import place_legend
from bifurk_service.figures.lines import Course, lines
from bifurk_service.figures.onset import OnsetRow, onsets
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.pages.alert_band import band_held, between, draw_band
from bifurk_service.pages.alert_seen import (
    affected_tensors,
    branch_color,
    seen_by,
    steps_near_to,
    title_of_seen,
    value_scale_of,
    visible_alert,
    window,
)
from bifurk_service.pages.drawing import drawn
from bifurk_service.pages.marks import run_marks
from bifurk_service.pages.rendering import root_of
from bifurk_service.pages.scalars import scalar_course
from bifurk_service.pages.statistic_courses import statistic_named
from bifurk_service.pages.tables import csv_of, rows_of
from bifurk_service.pages.views import AlertView
from bifurk_service.services import services
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.run_lists import run_summary
from bifurk_service.store.streaming import streamed_series

router = APIRouter(prefix="/alerts/{alert_id}/figures", include_in_schema=False)

MOST_ROWS: Final = 60
"""Of the figure of onsets."""

View = Annotated[AlertView, Query()]


@router.get("/evidence")
def get_evidence_figure(request: Request, grant: Reader, alert_id: AlertId, view: View) -> Response:
    """The statistic of the affected tensors, the loss below it; onset and marks on both.

    Of an alert about a baseline, the band of the good runs stands between them.
    """
    with services(request).database.read() as session:
        alert = visible_alert(session, alert_id, grant)
        seen = seen_by(request, session, alert, view)
        loss = scalar_course(session, alert.run_id, near=steps_near_to(session, alert))
        marks = run_marks(session, alert)
        held = band_held(request, session, grant, alert, view)
        run = run_summary(session, alert.run_id)
    every = [*seen.affected, *([loss] if loss else [])]
    steps = np.unique(
        np.concatenate([np.zeros(0, dtype=np.int64), *(course.steps for course in every)])
    )
    if not len(steps):
        return Response(status_code=204)
    low, high = window(steps, alert) if view.span == "around" else (steps[0], steps[-1])
    axis = _axis(steps[(steps >= low) & (steps <= high)], view)
    onset = Onset(
        first=alert.onset_first_step,
        last=alert.onset_last_step,
        detected=alert.detected_step,
        severity=alert.severity,
    )
    figures = []
    if seen.statistic is not None and any(len(course.steps) for course in seen.affected):
        figures.append(
            evidence(
                axis,
                [_between(course, low, high) for course in seen.affected],
                [_between(course, low, high) for course in seen.others],
                title=title_of_seen(seen),
                value_scale=value_scale_of(seen.statistic, view),
                groups=seen.groups,
                labels=seen.statistic.labels,
                theme=view.theme,
            )
        )
    if held is not None and seen.statistic is not None:
        seen_of_it = between(held, low, high)
        figures.append(draw_band(axis, seen_of_it, run=run, statistic=seen.statistic, view=view))
    if loss is not None:
        shown = _between(loss, low, high)
        figures.append(lines(axis, [shown], title=loss.name, theme=view.theme))
    shown_marks = [mark for mark in marks if low <= mark.step <= high]
    for place, plot in enumerate(figures):
        draw_onset(plot, axis, onset, theme=view.theme)
        if place == 0:
            draw_marks(plot, axis, shown_marks, theme=view.theme)
            place_legend(plot)
    return drawn(figures, theme=view.theme)


@router.get("/evidence.csv")
def get_evidence_data(request: Request, grant: Reader, alert_id: AlertId, view: View) -> Response:
    """The statistic of all affected tensors over the whole run: a row a tensor and step."""
    database = services(request).database
    with database.read() as session:
        alert = visible_alert(session, alert_id, grant)
        name = view.stat or alert.statistic
        tensors = affected_tensors(session, alert) if name else []
        if name:
            statistic_named(session, alert.run_id, name)
    ids = [tensor.id for tensor in tensors]
    parts = streamed_series(database, alert.run_id, name or "", ids)
    return csv_of(
        f"alert-{alert_id}-{name}.csv",
        ("tensor", "layer", "role", "step", name),
        rows_of(parts, tensors, without_value=name not in BY_NAME),
    )


@router.get("/onsets")
def get_onsets_figure(request: Request, grant: Reader, alert_id: AlertId, view: View) -> Response:
    """Onset intervals of the affected tensors, in their order."""
    with services(request).database.read() as session:
        alert = visible_alert(session, alert_id, grant)
    if not alert.tensors:
        return Response(status_code=204)
    rows = [
        _row(
            one,
            url=f"{root_of(request)}/runs/{alert.run_id}/tensors/{one['id']}",
            color=branch_color(alert, one, view.theme),
        )
        for one in alert.tensors[:MOST_ROWS]
    ]
    plot = onsets(
        rows,
        detected=alert.detected_step,
        severity=alert.severity,
        theme=view.theme,
    )
    return drawn([plot], theme=view.theme)


@router.get("/onsets.csv")
def get_onsets_data(request: Request, grant: Reader, alert_id: AlertId) -> Response:
    """The affected tensors in the order of onset."""
    with services(request).database.read() as session:
        alert = visible_alert(session, alert_id, grant)
    columns = (
        "name", "layer", "role", "branch", "first_statistic", "onset_first_step",
        "onset_last_step", "before", "after", "score",
    )  # fmt: skip
    return csv_of(
        f"alert-{alert_id}-onsets.csv",
        columns,
        ([one.get(column) for column in columns] for one in alert.tensors),
    )


def _axis(steps: NDArray[np.int64], view: AlertView) -> StepAxis:
    """Over the steps that are drawn; a look at none of them is given up."""
    low, high = int(steps[0]), int(steps[-1])
    first = low if view.first is None else min(max(view.first, low), high)
    last = high if view.last is None else min(max(view.last, low), high)
    return StepAxis.over(steps, view.axis, first=first, last=last)


def _between(course: Course, low: int, high: int) -> Course:
    kept = (course.steps >= low) & (course.steps <= high)
    bands = (None if band is None else band[kept] for band in (course.low, course.high))
    under, over = bands
    return Course(
        name=course.name,
        steps=course.steps[kept],
        values=course.values[kept],
        low=under,
        high=over,
        color=course.color,
    )


def _row(one: Mapping[str, Any], *, url: str, color: str) -> OnsetRow:
    moved = ", ".join(one["statistics"])
    first = f"; first in {one['first_statistic']}" if one["first_statistic"] else ""
    return OnsetRow(
        name=one["name"],
        first=one["onset_first_step"],
        last=one["onset_last_step"],
        text=f"{moved}{first}",
        color=color,
        url=url,
    )
