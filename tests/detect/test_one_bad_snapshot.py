"""A single value off its course is told at the next snapshot; what stays off is not."""

from __future__ import annotations

import numpy as np
import pytest

from bifurk_service.detect.one_bad_snapshot import OneBadSnapshot
from bifurk_service.detect.streams import LENGTH, NULLS, jump
from bifurk_service.detect.streams.events import bad_snapshot
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import detections

SERIES = 60
QUIET = [name for name in NULLS if name not in ("one bad snapshot", "Student-3")]


@pytest.mark.parametrize("family", QUIET)
def test_healthy_series_are_left_in_peace(family: str) -> None:
    stream = NULLS[family](np.random.default_rng(31), SERIES, LENGTH)
    assert detections(OneBadSnapshot(stream.statistic), stream.values, valid=stream.valid) == []


def test_a_value_20_deviations_off_is_told_at_the_next_snapshot() -> None:
    stream = bad_snapshot(np.random.default_rng(32), SERIES, 260)
    found = detections(OneBadSnapshot(stream.statistic), stream.values)
    assert len(found) >= 0.9 * SERIES
    assert {index for index, _ in found} == {201}
    for _, one in found:
        assert (one.onset_first_step, one.onset_last_step) == (2000, 2010)
        assert one.after > 15 > one.before
        assert one.score == pytest.approx(float(one.details["size"]) / 12)


def test_a_value_off_a_steep_course_is_told_as_well() -> None:
    random = np.random.default_rng(33)
    values = np.arange(120.0)[:, None] + 0.1 * random.standard_normal((120, 1))
    values[80] += 5
    ((index, one),) = detections(OneBadSnapshot(jump(random, 1, 2, size=0).statistic), values)
    assert index == 81
    assert one.after == pytest.approx(85, abs=0.5)


def test_a_jump_is_none_and_neither_is_a_series_that_alternates() -> None:
    stream = jump(np.random.default_rng(34), SERIES, 260, size=40)
    assert detections(OneBadSnapshot(stream.statistic), stream.values) == []
    values = np.where(np.arange(200) % 2, 1.0, -1.0)[:, None] + 0.01 * stream.values[:200]
    assert detections(OneBadSnapshot(stream.statistic), values) == []


def test_a_multiplicative_statistic_is_judged_on_its_logarithm() -> None:
    values = np.exp(0.01 * np.random.default_rng(35).standard_normal((100, 1)))
    values[60] = 1e-9
    ((_, one),) = detections(OneBadSnapshot(BY_NAME["std"]), values)
    assert one.after == pytest.approx(1e-9)


def test_steps_of_a_number_format_are_none_and_a_bad_value_beside_them_is_told() -> None:
    stream = NULLS["bfloat16 norm"](np.random.default_rng(36), 5 * SERIES, LENGTH)
    assert detections(OneBadSnapshot(stream.statistic), stream.values) == []
    stream.values[200] += 1.0
    found = detections(OneBadSnapshot(stream.statistic), stream.values)
    assert len(found) >= 0.7 * 5 * SERIES
    assert {index for index, _ in found} == {201}
