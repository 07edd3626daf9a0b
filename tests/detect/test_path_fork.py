"""Paths that part are told from their share near zero, from their flow, and from their dip."""

from __future__ import annotations

import numpy as np

from bifurk_service.detect.path_fork import PathFork, PathForkParameters
from bifurk_service.detect.streams import EVENTS, MEASURED_NULLS, autoregressive
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import detections

SHARE, FLOW, DIP = (BY_NAME[name] for name in ("dying_share", "path_flow", "path_dip_ratio"))
SERIES = 40


def test_half_of_the_paths_dying_is_told() -> None:
    stream = EVENTS["dying weights"].generate(np.random.default_rng(1), 12, 280)
    found = detections(PathFork(SHARE), stream.values, valid=stream.valid)
    assert {one.series for index, one in found if index >= 200} == set(range(12))
    assert len(found) == 12
    assert all(one.after > one.before for _, one in found)


def test_a_share_that_shifts_by_less_than_the_least_is_not_told() -> None:
    random = np.random.default_rng(2)
    values = 0.04 + 0.0005 * random.standard_normal((130, SERIES))
    values[100:] += 0.015
    assert detections(PathFork(SHARE), values) == []
    finer = PathFork(SHARE, parameters=PathForkParameters(least_share=0.005))
    assert {one.series for _, one in detections(finer, values)} == set(range(SERIES))


def test_healthy_paths_are_left_in_peace() -> None:
    stream = MEASURED_NULLS["healthy paths"](np.random.default_rng(3), 12, 200)
    assert detections(PathFork(SHARE), stream.values, valid=stream.valid) == []


def test_a_flow_towards_zero_that_sets_in_is_told() -> None:
    values = 0.001 * autoregressive(np.random.default_rng(4), SERIES, 130, correlation=0.5)
    values[100:] -= 0.02
    found = detections(PathFork(FLOW), values)
    assert {one.series for index, one in found if 100 <= index < 110} == set(range(SERIES))


def test_a_dip_that_passes_its_threshold_twice_running_is_told() -> None:
    values = np.array([0.4] * 10 + [1.2, 0.9] + [1.3] * 10)[:, None]
    ((index, one),) = detections(PathFork(DIP), values)
    assert index == 13
    assert one.before == 0.9
