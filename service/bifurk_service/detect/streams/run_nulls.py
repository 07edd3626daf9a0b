"""Sound runs: nothing in them is worth a warning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from bifurk_service.detect.streams.run import Healthy, RunGenerator, RunStream, healthy, run_of
from bifurk_service.detect.streams.schedules import (
    cadence_change,
    cosine,
    log_spaced,
    scheduled,
    step_decay,
    warm_up,
)
from bifurk_service.detect.streams.stream import LENGTH, clocks
from bifurk_service.domain import Clock

MISSING: Final = 0.1
"""Share of the tensors' values that are lost."""
WILD: Final = ("std", "update_ratio", "spectral_norm")
"""Statistics that one bad snapshot throws off, tenfold, in every tensor."""


def _on(times: Callable[[int], Sequence[Clock]]) -> RunGenerator:
    def generate(random: np.random.Generator, *, length: int = LENGTH) -> RunStream:
        run = Healthy(times=times(length))
        return run_of(run, healthy(random, run))

    return generate


def _layers_in_step(random: np.random.Generator, *, length: int = LENGTH) -> RunStream:
    run = Healthy(times=clocks(length), of_layer=0.7, of_run=0.0)
    return run_of(run, healthy(random, run))


def _different_tensors(random: np.random.Generator, *, length: int = LENGTH) -> RunStream:
    """Drifts of their own, and a profile by depth that grows with the run."""
    run = Healthy(times=clocks(length), differences=0.4)
    courses = healthy(random, run)
    depth = np.array([tensor.layer or 0 for tensor in run.tensors]) / 12
    time = 1 - np.exp(-np.arange(length)[:, None] / 150)
    for name in ("std", "spectral_norm"):
        courses[name] = courses[name] + 0.4 * depth**2 * time
    return run_of(run, courses)


def _one_bad_snapshot(random: np.random.Generator, *, length: int = LENGTH) -> RunStream:
    run = Healthy(times=clocks(length))
    courses = healthy(random, run)
    bad = int(random.integers(0, length))
    for name in WILD:
        courses[name][bad] += np.log(10)
    return run_of(run, courses)


def _missing_values(random: np.random.Generator, *, length: int = LENGTH) -> RunStream:
    run = Healthy(times=clocks(length))
    courses = healthy(random, run)
    lost = random.random((length, len(run.tensors))) < MISSING
    return run_of(run, {name: np.where(lost, np.nan, one) for name, one in courses.items()})


RUN_NULLS: Final[dict[str, RunGenerator]] = {
    "constant rate": _on(clocks),
    "cosine": _on(lambda length: scheduled(cosine(length))),
    "warm-up": _on(lambda length: scheduled(warm_up(length))),
    "learning-rate step": _on(lambda length: scheduled(step_decay(length, at=length // 2))),
    "cadence change": _on(lambda length: cadence_change(length, at=length // 2)),
    "log-spaced grid": _on(log_spaced),
    "layers in step": _layers_in_step,
    "different tensors": _different_tensors,
    "one bad snapshot": _one_bad_snapshot,
    "missing values": _missing_values,
}
"""Sound runs by name; the run's own changes are on its clock."""
