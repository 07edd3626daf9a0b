"""How often ``leaves_baseline`` is told of a run that is just like the good ones.

    python benchmarks/leaves_baseline.py

Runs of 50 groups of layers in 3 statistics are drawn from one law: courses that drift and wander.
Courses of one run share a part of that, from nothing to nearly all: what hangs together leaves
together. Each run is held against 3, 5 or 8 others as the alert holds it, all 150 courses at once,
over all of its snapshots. Seeds from 10,000; margins and share were chosen on seeds below 1,000.
A quarter of an hour on a quiet core; ``--rounds 20`` takes as many runs of each case.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from claims import Claim, options, report
from numpy.typing import NDArray

from bifurk_service.detect.baseline_departures import (
    HeldCourse,
    departures,
    most_of_good,
    outside,
    required,
)
from bifurk_service.notify.baselines import LEAST_GOOD
from bifurk_service.stats.baseline import RunCourse

GROUPS: Final = 50
STATISTICS: Final = 3
SNAPSHOTS: Final = 100
FIRST_SEED: Final = 10_000
RUNS: Final = 200
SINGLE: Final = 2_000
"""Draws of a course that is held alone."""
STEPS: Final = 10 * np.arange(SNAPSHOTS)
MOST: Final = 0.03
"""Of runs with enough good ones and drifts of one size, whatever their courses share."""

Draw: TypeAlias = Callable[[np.random.Generator, int], NDArray[np.float64]]


def normal(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Drifts of one size, float64 [count]."""
    return rng.standard_normal(count)


def heavy(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Drifts of which some are far larger than the rest (Student's t, 3 degrees)."""
    return rng.standard_t(3, count)


def courses_of_a_run(
    rng: np.random.Generator, draw: Draw, shared: float, *, count: int = GROUPS * STATISTICS
) -> NDArray[np.float64]:
    """Values of one run, float64 [count, snapshots]; ``shared`` is a share of the variance."""
    time = np.linspace(0, 1, SNAPSHOTS)
    drifts = np.sqrt(shared) * draw(rng, 1) + np.sqrt(1 - shared) * draw(rng, count)
    steps = np.sqrt(shared) * rng.standard_normal((1, SNAPSHOTS)) + np.sqrt(
        1 - shared
    ) * rng.standard_normal((count, SNAPSHOTS))
    wander = 0.3 * np.cumsum(steps, axis=1) / np.sqrt(SNAPSHOTS)
    return np.exp(0.1 * (drifts[:, None] * time + wander))


def is_told(seed: int, draw: Draw, *, good: int, shared: float) -> tuple[bool, int, int]:
    """Whether a run is told of; the courses outside at a time; the same of the worst good one."""
    rng = np.random.default_rng(seed)
    runs = [courses_of_a_run(rng, draw, shared) for _ in range(good + 1)]
    held = held_against_others(runs)
    found = outside(STEPS, held, least_good=good)
    others = most_of_good(held)
    told = departures(found, least=required(found.told, others))
    return bool(told), found.most, max(others.values(), default=0)


def leaves_alone(seed: int, draw: Draw, *, good: int) -> bool:
    """Whether a course that is held alone leaves."""
    rng = np.random.default_rng(seed)
    runs = [courses_of_a_run(rng, draw, 0.0, count=1) for _ in range(good + 1)]
    return outside(STEPS, held_against_others(runs), least_good=good).most > 0


def held_against_others(runs: Sequence[NDArray[np.float64]]) -> list[HeldCourse]:
    """The last of some runs, float64 [courses, snapshots] each, against the others."""
    return [
        HeldCourse(
            group=str(place // STATISTICS),
            statistic=str(place % STATISTICS),
            log_scale=True,
            tensors=(),
            values=runs[-1][place],
            good={
                str(index): RunCourse(steps=STEPS, values=run[place])
                for index, run in enumerate(runs[:-1])
            },
        )
        for place in range(len(runs[-1]))
    ]


def main() -> int:
    """Draws and holds them all, prints the rates."""
    asked = options(__doc__ or "")
    runs = asked.rounds or RUNS
    claims = [
        Claim(
            claim=f"{draw.__name__} drifts, {good} good, a course alone: leaves",
            value=sum(leaves_alone(FIRST_SEED + n, draw, good=good) for n in range(SINGLE))
            / SINGLE,
            unit=f"of {SINGLE}",
        )
        for draw in (normal, heavy)
        for good in (3, 4, 5, 6, 8, 10)
    ]
    for draw in (normal, heavy):
        for good in (3, 5, 8):
            for shared in (0.0, 0.5, 0.9):
                found = [
                    is_told(FIRST_SEED + run, draw, good=good, shared=shared) for run in range(runs)
                ]
                claims.append(
                    Claim(
                        claim=f"{draw.__name__} drifts, {good} good, {shared:g} shared: told of",
                        value=sum(told for told, _, _ in found) / runs,
                        unit=f"of {runs} runs",
                        target=MOST if draw is normal and good >= LEAST_GOOD else None,
                    )
                )
    return report(claims, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
