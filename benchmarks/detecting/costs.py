"""What judging costs on one core."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from claims import Claim

from bifurk_service.detect.base import AnyWatch, PopulationWatch, Watch
from bifurk_service.detect.judge import Judge
from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.streams import clocks
from bifurk_service.detect.streams.run import Healthy, RunStream, gpt, healthy, run_of
from bifurk_service.domain import TensorInfo
from bifurk_service.stats.registry import BY_NAME, STATISTICS

SERIES: Final = 500
LENGTH: Final = 140
"""Snapshots; those after the longest window count."""
SETTLED: Final = 100
ALL_DETECTORS: Final = 60.0
"""Microseconds a series, all detectors of single series together."""
SNAPSHOT: Final = 250.0
"""Milliseconds for a model of ``TENSORS`` tensors and ``WATCHED`` statistics."""
TENSORS: Final = 150
WATCHED: Final = 25
LAYERS: Final = 30


def claims_of() -> Iterator[Claim]:
    """Processor time, so that what else runs on the machine does not count."""
    costs = dict(_series_costs())
    for kind, cost in costs.items():
        yield Claim(claim=f"cost: {kind}, {SERIES} series", value=cost, unit="us/series")
    yield Claim(
        claim=f"cost: all detectors of single series, {SERIES} series",
        value=sum(costs.values()),
        unit="us/series",
        target=ALL_DETECTORS,
    )
    yield Claim(
        claim=f"cost: a snapshot of {TENSORS} tensors, statistics as the registry has them",
        value=_snapshot_cost(WATCHES),
        unit="ms",
        target=SNAPSHOT,
    )
    yield Claim(
        claim=f"cost: the same, with regime_shift on {WATCHED} statistics",
        value=_snapshot_cost(_wider()),
        unit="ms",
        target=SNAPSHOT,
    )


def _series_costs() -> Iterator[tuple[str, float]]:
    random = np.random.default_rng(1)
    for watch in WATCHES:
        if not isinstance(watch, PopulationWatch):
            statistic = BY_NAME[watch.statistics[0]]
            values = _plausible(statistic.name, random)
            yield watch.kind, _cost(watch.make(statistic), values)


def _plausible(name: str, random: np.random.Generator) -> Any:
    run = Healthy(times=clocks(LENGTH), tensors=_matrices(SERIES))
    return (
        healthy(random, run)[name]
        if not BY_NAME[name].log_scale
        else np.exp(healthy(random, run)[name])
    )


def _cost(detector: Any, values: Any) -> float:
    spent = 0.0
    valid = np.isfinite(values)
    for index, clock in enumerate(clocks(LENGTH)):
        started = time.process_time()
        detector.update(clock, values[index], valid[index])
        if index >= SETTLED:
            spent += time.process_time() - started
    return 1e6 * spent / (LENGTH - SETTLED) / values.shape[1]


def _snapshot_cost(watches: tuple[AnyWatch, ...]) -> float:
    run = _large_run()
    judge, spent = Judge("run", watches=watches), 0.0
    for index, (clock, values, valid) in enumerate(run):
        started = time.process_time()
        judge.update(clock, run.tensors, values, valid)
        if index >= SETTLED:
            spent += time.process_time() - started
    return 1e3 * spent / (LENGTH - SETTLED)


def _large_run() -> RunStream:
    run = Healthy(times=clocks(LENGTH), tensors=gpt(LAYERS)[:TENSORS])
    random = np.random.default_rng(2)
    courses = healthy(random, run)
    for name in _further(WATCHED):
        if name not in courses:
            courses[name] = 3 + np.cumsum(
                0.001 * random.standard_normal((LENGTH, len(run.tensors))), axis=0
            )
    return run_of(run, courses)


def _wider() -> tuple[AnyWatch, ...]:
    return tuple(
        Watch(
            kind=watch.kind,
            statistics=_further(WATCHED),
            make=watch.make,
            meaning=watch.meaning,
            parameters=watch.parameters,
        )
        if isinstance(watch, Watch) and watch.kind == "regime_shift"
        else watch
        for watch in WATCHES
    )


def _further(count: int) -> tuple[str, ...]:
    """What ``regime_shift`` watches, and so many in all."""
    watched = next(watch.statistics for watch in WATCHES if watch.kind == "regime_shift")
    others = [s.name for s in STATISTICS if s.nature in ("integrated", "stationary")]
    return tuple(dict.fromkeys([*watched, *others]))[:count]


def _matrices(count: int) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(id=i, name=f"blocks.{i}.w", layer=i, role="mlp.up", shape=(64, 64))
        for i in range(count)
    )
