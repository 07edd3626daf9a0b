"""Where a run's snapshots stand: by step, by tokens seen, or by the lowest loss so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.pages.runs import loss_name
from bifurk_service.store.engine import Session
from bifurk_service.store.outlined_courses import outlined_scalar
from bifurk_service.store.scalars import ScalarPoint, scalar_names, scalar_points

TOKENS: Final = ("tokens", "tokens_seen", "train/tokens", "train/tokens_seen")
"""Scalars that count tokens so far, the likeliest first; then whatever has tokens in its name."""


def token_counts(
    session: Session, run_id: int, *, points: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps and the tokens seen up to each, of the first logged scalar that only grows.

    Nothing where the run logs none: bifurk itself sees weights, not batches.

    Args:
        points: of a long run at most so many.
    """
    names = scalar_names(session, run_id)
    likely = [name for name in TOKENS if name in names]
    for name in dict.fromkeys([*likely, *(one for one in names if "tokens" in one.lower())]):
        steps, counts = _column(_points(session, run_id, name, points), "last")
        if len(counts) > 1 and (np.diff(counts) >= 0).all() and counts[-1] > counts[0]:
            return steps, counts
    return np.zeros(0, dtype=np.int64), np.zeros(0)


def lowest_losses(
    session: Session, run_id: int, *, points: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps and the lowest mean loss up to each; nothing where the run logs no loss.

    Args:
        points: of a long run at most so many, the lowest of each stretch among them.
    """
    name = loss_name(scalar_names(session, run_id))
    steps, losses = _column(_points(session, run_id, name, points) if name else [], "mean")
    return steps, np.minimum.accumulate(losses) if len(losses) else losses


def placed_at(
    steps: NDArray[np.int64], known: NDArray[np.int64], places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each step the place known last at or before it, float64 [N]; NaN before the first."""
    if not len(known):
        return np.full(len(steps), np.nan)
    at = np.searchsorted(known, steps, side="right") - 1
    return np.where(at >= 0, places[np.maximum(at, 0)], np.nan)


def _points(session: Session, run_id: int, name: str, points: int | None) -> list[ScalarPoint]:
    if points is None:
        return scalar_points(session, run_id, name)
    return outlined_scalar(session, run_id, name, points=points).points


def _column(
    points: Sequence[ScalarPoint], field: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    known = [(one.step, value) for one in points if (value := getattr(one, field)) is not None]
    return (
        np.array([step for step, _ in known], dtype=np.int64),
        np.array([value for _, value in known], dtype=np.float64),
    )
