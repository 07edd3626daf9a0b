"""Learning rates over a run, and the clocks of runs that keep to them or change their cadence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.streams.stream import EVERY, RATE, grid
from bifurk_service.domain import Clock, Mark

WARM_UP: Final = 40
"""Snapshots until the learning rate is at its peak."""
COSINE_FLOOR: Final = 0.1
"""Share of the peak at which a cosine ends."""
STEP_DECAY: Final = 0.1
"""What a learning-rate step multiplies by."""

Rates = NDArray[np.float64]


def cosine(length: int) -> Rates:
    """Half a cosine from 1 to ``COSINE_FLOOR``, float64 [length]."""
    turn = np.cos(np.pi * np.arange(length) / max(length - 1, 1))
    return COSINE_FLOOR + (1 - COSINE_FLOOR) * (1 + turn) / 2


def warm_up(length: int) -> Rates:
    """An even rise to 1 within ``WARM_UP`` snapshots, then constant, float64 [length]."""
    return np.minimum(1.0, (np.arange(length) + 1) / WARM_UP)


def step_decay(length: int, *, at: int) -> Rates:
    """1 before a snapshot and ``STEP_DECAY`` from it on, float64 [length]."""
    return np.where(np.arange(length) < at, 1.0, STEP_DECAY)


def scheduled(rates: Sequence[float] | Rates) -> list[Clock]:
    """A regular grid whose learning rate is ``RATE`` times these shares."""
    return grid([(index + 1) * EVERY for index in range(len(rates))], [RATE * r for r in rates])


def cadence_change(length: int, *, at: int) -> list[Clock]:
    """Twice as many steps between snapshots from one on, which carries the mark that says so."""
    steps = np.cumsum(np.where(np.arange(length) < at, EVERY, 2 * EVERY)).tolist()
    times = grid(steps, [RATE] * length)
    if at < length:
        details = {"from": EVERY, "to": 2 * EVERY}
        mark = Mark(kind="interval", step=times[at].step, details=details)
        times[at] = replace(times[at], marks=(mark,))
    return times


def log_spaced(length: int, *, growth: float = 1.15) -> list[Clock]:
    """Steps 1, 2, 3, ... then each ``growth`` times the last, until they are ``EVERY`` apart."""
    steps = [1]
    while len(steps) < length:
        gap = min(max(1, round(steps[-1] * (growth - 1))), EVERY)
        steps.append(steps[-1] + gap)
    return grid(steps, [RATE] * length)
