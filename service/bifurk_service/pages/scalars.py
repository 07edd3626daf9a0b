"""Logged scalars as the courses that figures draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bifurk_service.figures.lines import MOST_POINTS, Course
from bifurk_service.pages.runs import loss_name
from bifurk_service.store.engine import Session
from bifurk_service.store.near import Steps
from bifurk_service.store.outlined_courses import outlined_scalar
from bifurk_service.store.scalars import scalar_names, scalar_points


def scalar_course(
    session: Session,
    run_id: int,
    asked: str = "",
    attempt: str | None = None,
    near: Steps | None = None,
) -> Course | None:
    """A scalar's means with the band of its extremes; the loss where none is asked for.

    Args:
        near: where every interval of a long one is given.
    """
    name = asked or loss_name(scalar_names(session, run_id))
    if not name:
        return None
    found = outlined_scalar(session, run_id, name, attempt, points=MOST_POINTS)
    points = found.points
    if near is not None and found.is_outlined:
        close = scalar_points(session, run_id, name, attempt, between=near)
        by_step = {point.step: point for point in (*points, *close)}
        points = [by_step[step] for step in sorted(by_step)]
    if not points:
        return None
    return Course(
        name=name,
        steps=np.array([point.step for point in points], dtype=np.int64),
        values=_column([point.mean for point in points]),
        low=_column([point.min for point in points]),
        high=_column([point.max for point in points]),
    )


def _column(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if one is None else one for one in values], dtype=np.float64)
