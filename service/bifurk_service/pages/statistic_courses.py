"""A statistic's courses for figures of lines, of the table's statistics and of a run's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from fastapi import Request

from bifurk_service.api.parameters import check_statistics
from bifurk_service.figures.lines import MOST_POINTS, Course
from bifurk_service.pages.courses import course_cache
from bifurk_service.stats.registry import BY_NAME, Statistic
from bifurk_service.store.courses import Courses, on_common_steps
from bifurk_service.store.engine import Session
from bifurk_service.store.imports import imported_series, imported_statistics
from bifurk_service.store.models import Tensor
from bifurk_service.store.near import Steps
from bifurk_service.store.outlined_series import Asked, joined_series, outlined_series, series_near


def statistic_named(session: Session, run_id: int, name: str) -> Statistic:
    """A statistic of the table, or one that the run brought.

    Raises:
        InvalidError: it is neither.
    """
    if name not in BY_NAME:
        for own in imported_statistics(session, run_id):
            if own.name == name:
                return own
        check_statistics(name)
    return BY_NAME[name]


def statistic_courses(
    request: Request, session: Session, run_id: int, statistic: str, tensors: Sequence[Tensor]
) -> list[Course]:
    """One course a tensor, in order, over the steps at which it has a value; empty without any."""
    ids = [tensor.id for tensor in tensors]
    if statistic not in BY_NAME:
        own = imported_series(session, run_id, statistic, ids)
        return [
            Course(name=tensor.name, steps=series.steps, values=series.values)
            for tensor, series in zip(tensors, own, strict=True)
        ]
    found = course_cache(request).courses(session, run_id, statistic, ids)
    known = np.isfinite(found.values)
    return [
        Course(name=tensor.name, steps=found.steps[mask], values=row[mask])
        for tensor, row, mask in zip(tensors, found.values, known, strict=True)
    ]


def courses_near(
    session: Session, run_id: int, statistic: str, tensors: Sequence[Tensor], near: Steps
) -> list[Course] | None:
    """The same of a long run: all values near something, else extremes; None of a short one."""
    ids = [tensor.id for tensor in tensors]
    asked = Asked(run_id=run_id, statistic=statistic, tensor_ids=ids, points=MOST_POINTS)
    found = series_near(session, asked, near)
    if found is None:
        return None
    courses = []
    for tensor, series in zip(tensors, found, strict=True):
        known = np.isfinite(series.values) | (statistic not in BY_NAME)
        courses.append(
            Course(name=tensor.name, steps=series.steps[known], values=series.values[known])
        )
    return courses


def courses_outlined(
    session: Session, asked: Asked, tensors: Sequence[Tensor], looked_at: Steps | None
) -> list[Course]:
    """The same in fewer points; of what is looked at, between two steps, as many again."""
    every = list(outlined_series(session, asked))
    if looked_at is not None:
        first, last = looked_at
        close = outlined_series(session, replace(asked, first_step=first, last_step=last))
        every = [joined_series(*pair) for pair in zip(every, close, strict=True)]
    known = [np.isfinite(series.values) | (asked.statistic not in BY_NAME) for series in every]
    return [
        Course(name=tensor.name, steps=series.steps[mask], values=series.values[mask])
        for tensor, series, mask in zip(tensors, every, known, strict=True)
    ]


def statistic_matrix(
    request: Request,
    session: Session,
    run_id: int,
    statistic: str,
    tensors: Sequence[Tensor],
    attempt: str | None = None,
) -> Courses:
    """The courses over the steps at which any of the tensors has a value; of one attempt or all.

    Raises:
        InvalidError: the run has no such statistic.
    """
    ids = [tensor.id for tensor in tensors]
    if statistic in BY_NAME:
        return course_cache(request).courses(session, run_id, statistic, ids, attempt)
    statistic_named(session, run_id, statistic)
    own = list(imported_series(session, run_id, statistic, ids))
    return on_common_steps([series.steps for series in own], [series.values for series in own])


def title_of(statistic: Statistic) -> str:
    """Its name and unit, as figures are titled."""
    shown = statistic.unit not in ("", "1", "as imported")
    return f"{statistic.name} ({statistic.unit})" if shown else statistic.name
