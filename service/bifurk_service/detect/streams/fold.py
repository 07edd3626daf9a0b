"""A state that loses its branch: the saddle-node, with its slowing down before it."""

from __future__ import annotations

from typing import Final

import numpy as np

from bifurk_service.detect.streams.stream import ONSET, Stream, stream_of

FOLD_AT: Final = -2 / (3 * np.sqrt(3))
"""Of the drive c, where the upper branch of x' = x - x^3 + c ends."""
FOLD_FROM: Final = 0.3
"""The drive at the first snapshot."""
FOLD_NOISE: Final = 0.03
FOLD_TIME: Final = 2.0
"""Units of the equation's own time between snapshots."""
SUBSTEPS: Final = 40
"""Of the integration, between snapshots."""
FOLD_EARLY: Final = 6
"""Snapshots by which noise may tip the state before the branch ends."""


def fold(random: np.random.Generator, series: int, length: int, *, onset: int = ONSET) -> Stream:
    """A state that loses its branch: x' = x - x^3 + c(t) + noise, c past its fold at the onset."""
    state = np.full(series, 1.13)
    values = np.empty((length, series))
    step = FOLD_TIME / SUBSTEPS
    for index in range(length):
        drive = FOLD_FROM + (FOLD_AT - FOLD_FROM) * index / onset
        for _ in range(SUBSTEPS):
            noise = FOLD_NOISE * np.sqrt(step) * random.standard_normal(series)
            state = state + step * (state - state**3 + drive) + noise
        values[index] = state
    return stream_of(values, onset=onset, early=FOLD_EARLY)
