"""Where a statistic has a value: looked for in outlines, closer and closer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from bifurk_service.store.outlined_series import Asked, outlined_series


def nearest_valued(session: Session, asked: Asked, step: int) -> int | None:
    """The step nearest to one at which any of the series has a value, of two as near the earlier.

    Where there is a value in a stretch, its outline has one; so what is nearer than the nearest of
    an outline is looked for in an outline of what lies between.
    """
    best: int | None = None
    while (steps := _valued_steps(session, asked)).size:
        best = int(steps[np.argmin(np.abs(steps - step))])
        apart = abs(best - step)
        # An earlier step that is as near is looked for as well.
        first, last = step - apart + (best <= step), step + apart - 1
        if first > last:
            break
        asked = replace(asked, first_step=first, last_step=last)
    return best


def values_at(session: Session, asked: Asked, step: int) -> NDArray[np.float64]:
    """The series' values at a step, float64 [T], NaN without one."""
    found = outlined_series(session, replace(asked, first_step=step, last_step=step))
    return np.array(
        [series.values[0] if len(series.values) else np.nan for series in found], dtype=np.float64
    )


def _valued_steps(session: Session, asked: Asked) -> NDArray[np.int64]:
    """Steps at which any of the series has a value, ascending; of long ones those of outlines."""
    found = [series.steps[np.isfinite(series.values)] for series in outlined_series(session, asked)]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *found]))
