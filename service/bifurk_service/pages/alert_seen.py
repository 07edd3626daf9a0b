"""What the figures of an alert show: its statistic, of the tensors it names and of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from bifurk_service.api.grants import visible_run
from bifurk_service.figures.lines import Course, ValueScale
from bifurk_service.figures.theme import COLORS, ThemeName
from bifurk_service.pages.forks import FORKS, branch_name
from bifurk_service.pages.statistic_courses import (
    courses_near,
    statistic_courses,
    statistic_named,
    title_of,
)
from bifurk_service.pages.views import AlertView
from bifurk_service.stats.statistic import Statistic
from bifurk_service.store.alerts import get_alert
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert, Tensor
from bifurk_service.store.near import Steps, steps_near
from bifurk_service.store.series import find_tensors
from bifurk_service.store.tokens import Grant

MOST_AFFECTED: Final = 40
"""Tensors drawn, the first to begin first; the table and the data have all."""
MOST_OTHERS: Final = 40
"""Tensors drawn for contrast, evenly over the model."""
LEAST_AROUND: Final = 30
"""Snapshots shown on either side of what is looked at, at least."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """An alert's statistic: of the tensors it names and, for contrast, of others of their roles.

    Attributes:
        groups: the branch of each affected tensor, where the alert parts them; else empty.
    """

    alert: StoredAlert
    statistic: Statistic | None
    affected: list[Course]
    others: list[Course]
    groups: list[str]


def visible_alert(session: Session, alert_id: int, grant: Grant) -> StoredAlert:
    """An alert, if the grant reaches its run.

    Raises:
        NotFoundError: there is none, or it belongs to a project beyond the grant.
    """
    alert = get_alert(session, alert_id)
    visible_run(session, alert.run_id, grant)
    return alert


def affected_tensors(session: Session, alert: StoredAlert) -> list[Tensor]:
    """The tensors that an alert names, in the order of onset."""
    by_id = {tensor.id: tensor for tensor in find_tensors(session, alert.run_id)}
    return [by_id[one["id"]] for one in alert.tensors if one["id"] in by_id]


def window(steps: NDArray[np.int64], alert: StoredAlert) -> tuple[int, int]:
    """Before and after what an alert saw: as long again on either side, or a little more."""
    first = int(np.searchsorted(steps, alert.onset_first_step))
    seen = int(np.searchsorted(steps, alert.detected_step))
    around = max(LEAST_AROUND, seen - first)
    last = len(steps) - 1
    return int(steps[min(max(first - around, 0), last)]), int(steps[min(seen + around, last)])


def steps_near_to(session: Session, alert: StoredAlert) -> Steps:
    """Of what the figures of an alert show closely, twice as far on either side."""
    first, last = alert.onset_first_step, alert.detected_step
    return steps_near(session, alert.run_id, first, last, least=2 * LEAST_AROUND)


def seen_by(request: Request, session: Session, alert: StoredAlert, view: AlertView) -> Seen:
    """Reads what an alert saw, as a view asks for it."""
    name = view.stat or alert.statistic
    if not name or not alert.tensors:
        return Seen(alert=alert, statistic=None, affected=[], others=[], groups=[])
    statistic = statistic_named(session, alert.run_id, name)
    affected = affected_tensors(session, alert)
    others = _like(session, alert, affected) if view.others == "shown" else []
    drawn = [*affected[:MOST_AFFECTED], *others]
    courses = courses_near(session, alert.run_id, name, drawn, steps_near_to(session, alert))
    if courses is None:
        courses = statistic_courses(request, session, alert.run_id, name, drawn)
    count = len(drawn) - len(others)
    parted = [one for one in alert.tensors[:count] if one.get("branch") is not None]
    return Seen(
        alert=alert,
        statistic=statistic,
        affected=[
            replace(course, color=branch_color(alert, one, view.theme) or None)
            for course, one in zip(courses[:count], alert.tensors, strict=False)
        ],
        others=courses[count:],
        groups=[branch_name(alert, one["branch"]) for one in parted]
        if len(parted) == count
        else [],
    )


def branch_color(alert: StoredAlert, one: Mapping[str, Any], theme: ThemeName) -> str:
    """The colour of a tensor's branch, as the page of branches has it; "" where it is in none."""
    branch = one.get("branch")
    return "" if branch is None or alert.kind not in FORKS else COLORS[theme].lines[int(branch)]


def _like(session: Session, alert: StoredAlert, affected: Sequence[Tensor]) -> list[Tensor]:
    """Unaffected tensors of the same roles, some of them where there are many."""
    named, roles = {tensor.id for tensor in affected}, {tensor.role for tensor in affected}
    found = [
        tensor
        for tensor in find_tensors(session, alert.run_id)
        if tensor.role in roles and tensor.id not in named
    ]
    return found[:: max(1, -(-len(found) // MOST_OTHERS))]


def title_of_seen(seen: Seen) -> str:
    """What the figure is called."""
    assert seen.statistic is not None
    count, shown = len(seen.alert.tensors), len(seen.affected)
    some = f", the first {shown} of {count} tensors" if shown < count else ""
    faint = "; others of their roles faint" if seen.others else ""
    return f"{title_of(seen.statistic)}{some}{faint}"


def value_scale_of(statistic: Statistic, view: AlertView) -> ValueScale:
    """Of the axis of values: by itself, what the statistic is judged on."""
    if view.values == "auto":
        return "log" if statistic.log_scale else "linear"
    return view.values
