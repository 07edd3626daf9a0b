"""Of an alert about a baseline: the band of its good runs, and the run against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from bokeh.plotting import figure
from fastapi import Request

from bifurk_service.api.grants import visible_run
from bifurk_service.detect.baseline_departures import MARGINS
from bifurk_service.detect.leaves_baseline import KIND
from bifurk_service.errors import InvalidError, NotFoundError
from bifurk_service.figures.baseline import HeldCourse, against_band
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.pages.alert_seen import steps_near_to, value_scale_of
from bifurk_service.pages.baselines import Held, held_against, title_of_held
from bifurk_service.pages.views import AlertView, CompareView
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.stats.statistic import Nature, Statistic
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.run_lists import RunSummary, run_summary
from bifurk_service.store.tokens import Grant

ROOM: Final = "where it may be before it is told of"


def against_good(alert: StoredAlert, good: Sequence[int], statistic: str | None) -> dict[str, Any]:
    """The query of the page that compares a run with the good ones of its alert, by their ids."""
    return {
        "a": alert.run_id,
        "b": good[0] if good else None,
        "good": ",".join(map(str, good)) or None,
        "stat": statistic,
        "tensor": alert.tensors[0]["name"] if alert.tensors else None,
    }


def good_still_there(session: Session, grant: Grant, alert: StoredAlert) -> list[RunSummary]:
    """The good runs that an alert was held against, without those that are deleted.

    Of an alert that came from another server the ids are of that one: under them other runs are
    here, of other names.
    """
    project = run_summary(session, alert.run_id).project
    found = []
    for name, run_id in alert.evidence.get("good", {}).items():
        try:
            run = visible_run(session, run_id, grant)
        except NotFoundError:
            continue
        if (run.project, run.run) == (project, name):
            found.append(run)
    return found


def band_held(
    request: Request, session: Session, grant: Grant, alert: StoredAlert, view: AlertView
) -> Held | None:
    """The group of the alert's first tensor held against the good runs that are still there.

    None of other kinds of alerts, of classes and the run's own statistics, and without a band.
    """
    statistic = BY_NAME.get(view.stat or alert.statistic)
    if alert.kind != KIND or statistic is None or not alert.tensors:
        return None
    if statistic.nature is Nature.CLASS:
        return None
    asked = CompareView.model_validate({"a": str(alert.run_id), "stat": statistic.name})
    try:
        found = held_against(
            request,
            session,
            alert.run_id,
            good_still_there(session, grant, alert),
            asked,
            only=alert.tensors[0]["name"],
            margins=MARGINS,
            near=steps_near_to(session, alert),
        )
    except InvalidError:
        return None
    return found[0] if found and np.isfinite(found[0].band.middle).any() else None


def between(held: Held, low: int, high: int) -> Held:
    """The same between two steps, both included."""
    kept = (held.band.steps >= low) & (held.band.steps <= high)
    return replace(held, band=held.band.at(kept), values=held.values[kept])


def draw_band(
    axis: StepAxis, held: Held, *, run: RunSummary, statistic: Statistic, view: AlertView
) -> figure:
    """The band with the run, over an axis of steps; nothing beyond what the axis looks at."""
    # Around the onset nothing is left out.
    shown = replace(held, every=1) if view.span == "around" else held
    return against_band(
        axis,
        HeldCourse(
            name=run.display_name or run.run,
            values=held.values,
            band=held.band,
            left=held.left,
            runs=held.good,
            room=ROOM,
        ),
        title=title_of_held(shown, statistic),
        value_scale=value_scale_of(statistic, view),
        theme=view.theme,
    )
