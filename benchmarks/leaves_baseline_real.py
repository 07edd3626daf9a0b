"""Recorded GPTs held against healthy ones as ``leaves_baseline`` holds them.

    python benchmarks/real_runs.py --train       # records what is not there yet
    python benchmarks/leaves_baseline_real.py    # some seconds a run

Healthy runs are held against the others of their family; runs to which something was done, and
healthy ones of the other schedule, against healthy ones of other seeds at the constant rate. What
was done to a run was done before step 260.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from claims import Claim, report
from numpy.typing import NDArray
from real_runs import CACHE
from trainings.recording import RecordedAttempt, load

from bifurk_service.detect.baseline_departures import (
    HeldCourse,
    departures,
    most_of_good,
    outside,
    required,
)
from bifurk_service.pipeline.group_courses import median_over_layers, works_of
from bifurk_service.stats.baseline import RunCourse
from bifurk_service.stats.registry import BY_NAME

SEEDS: Final = range(10_001, 10_007)
CONSTANT: Final = [f"healthy-constant-{seed}" for seed in SEEDS]
COSINE: Final = [f"healthy-cosine-{seed}" for seed in SEEDS]
DONE_TO: Final = ("runaway", "blow-up", "corrupted", "fault", "dying")
SEEDS_DONE_TO: Final = range(10_001, 10_004)

Courses: TypeAlias = dict[tuple[str, str], RunCourse]


class Recorded:
    """Medians over layers of recorded runs, read once."""

    def __init__(self, cache: Path, statistics: list[str]) -> None:
        self._cache = cache
        self._statistics = statistics
        self._read: dict[str, Courses] = {}

    def courses(self, name: str) -> Courses:
        """Of a run of one attempt: by group of layers and statistic."""
        if name not in self._read:
            [attempt] = load(self._cache / f"{name}.npz").attempts
            self._read[name] = _medians(attempt, self._statistics)
        return self._read[name]

    def told(self, name: str, good: list[str]) -> tuple[list[int], str]:
        """The steps at which a run is told of, and in words how many courses were outside."""
        mine = self.courses(name)
        steps = next(iter(mine.values())).steps
        held = [
            HeldCourse(
                group=group,
                statistic=statistic,
                log_scale=BY_NAME[statistic].log_scale,
                tensors=(),
                values=course.values,
                good={one: self.courses(one)[group, statistic] for one in good},
            )
            for (group, statistic), course in mine.items()
        ]
        found = outside(steps, held, least_good=len(good))
        others = most_of_good(held)
        needed = required(found.told, others)
        told = [int(steps[one.seen]) for one in departures(found, least=needed)]
        worst = max(others.values(), default=0)
        return told, f"{found.most} of {found.told} outside, {worst} of a good one, needed {needed}"


def _medians(attempt: RecordedAttempt, statistics: list[str]) -> Courses:
    steps = np.array([clock.step for clock in attempt.clocks], dtype=np.int64)
    place = {tensor.id: index for index, tensor in enumerate(attempt.tensors)}
    wholes: list[Any] = [_Whole(tensor) for tensor in attempt.tensors]
    found: Courses = {}
    for work in works_of(wholes):
        columns = [place[tensor.id] for tensor in work.tensors]
        for name in statistics:
            values: NDArray[np.float64] = attempt.values[:, attempt.statistics.index(name), columns]
            found[work.name, name] = RunCourse(steps=steps, values=median_over_layers(values.T))
    return found


class _Whole:
    """A recorded tensor, as one that is stored and no piece of another."""

    piece_of = None

    def __init__(self, tensor: Any) -> None:
        self.id, self.name, self.layer = tensor.id, tensor.name, tensor.layer
        self.role, self.shape = tensor.role, tensor.shape


def main() -> int:
    """Holds them all; a line a run, then how many of each family are told of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--statistics", default="std,update_ratio,spectral_norm")
    asked = parser.parse_args()
    if not any(asked.cache.glob("healthy-*.npz")):
        print(f"nothing is recorded in {asked.cache}; `real_runs.py --train` does that")
        return 0
    recorded = Recorded(asked.cache, asked.statistics.split(","))
    cases = [
        *((name, [one for one in family if one != name], 0) for family in (CONSTANT, COSINE)
          for name in family),
        *((name, CONSTANT[:5], None) for name in COSINE),
        *((f"{family}-{seed}", [one for one in CONSTANT if not one.endswith(str(seed))],
           1 if family in ("runaway", "blow-up") else None)
          for family in DONE_TO for seed in SEEDS_DONE_TO),
    ]  # fmt: skip
    counts: dict[tuple[str, int | None], list[bool]] = {}
    for name, good, wanted in cases:
        told, outside_ = recorded.told(name, good)
        print(
            f"{name:<24} against {len(good)}: {outside_}; told at {told or 'no step'}", flush=True
        )
        family = name.rpartition("-")[0] + (", others" if wanted == 0 else "")
        counts.setdefault((family, wanted), []).append(bool(told))
    claims = [
        Claim(
            claim=f"{family}: told of",
            value=sum(found),
            unit=f"of {len(found)}",
            target=None if wanted is None else wanted * len(found),
            better="higher" if wanted else "lower",
        )
        for (family, wanted), found in counts.items()
    ]
    return report(claims, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
