"""A stable rank that falls by half or abruptly is told; one that learns is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.rank_collapse import RankCollapse
from bifurk_service.detect.streams import EVENTS
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import detections

RANK = BY_NAME["stable_rank"]
SERIES = 40


def _ranks(course: NDArray[np.float64], *, seed: int, noise: float = 0.004) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    shape = (len(course), SERIES)
    walk = np.cumsum(0.002 * random.standard_normal(shape), axis=0)
    ranks: NDArray[np.float64] = 25 * np.exp(
        course[:, None] + walk + noise * random.standard_normal(shape)
    )
    return ranks


def test_a_fall_to_two_fifths_is_told_once_and_within_ten_snapshots() -> None:
    stream = EVENTS["rank collapses"].generate(np.random.default_rng(1), SERIES, 300)
    found = detections(RankCollapse(RANK), stream.values)
    assert sorted(one.series for _, one in found) == list(range(SERIES))
    assert all(200 < index < 212 for index, _ in found)
    assert all(one.before > one.after for _, one in found)


def test_a_fall_of_two_fifths_at_once_is_told_by_the_abrupt_rule() -> None:
    course = np.where(np.arange(160) < 100, 0.0, np.log(0.6))
    found = detections(RankCollapse(RANK), _ranks(course, seed=2))
    assert {one.series for _, one in found} == set(range(SERIES))
    assert {one.details["rule"] for _, one in found} == {"abrupt"}
    assert all(one.onset_first_step <= 1010 and one.onset_last_step >= 1000 for _, one in found)


def test_a_rise_is_no_collapse() -> None:
    course = np.where(np.arange(160) < 100, 0.0, np.log(3))
    assert detections(RankCollapse(RANK), _ranks(course, seed=3)) == []


def _fired(courses: list[NDArray[np.float64]], *, seed: int, noise: float = 0.004) -> list[int]:
    """Which of these courses was told of; series that do not see one another, judged at once."""
    values = np.concatenate([_ranks(course, seed=seed, noise=noise) for course in courses], axis=1)
    return sorted({one.series // SERIES for _, one in detections(RankCollapse(RANK), values)})


def test_a_slow_fall_over_hundreds_of_snapshots_is_learning() -> None:
    courses = [np.linspace(0.0, np.log(fall), 300) for fall in (0.95, 0.8, 0.6)]
    assert _fired(courses, seed=4, noise=0.01) == []


def test_relaxing_from_the_initial_values_is_learning() -> None:
    time = np.arange(200)
    courses = [np.log(0.7) * (1 - np.exp(-time / snapshots)) for snapshots in (10, 15, 20)]
    assert _fired(courses, seed=5) == []


def test_one_wild_spectrum_is_no_collapse() -> None:
    values = _ranks(np.zeros(120), seed=6)
    values[70] /= 100
    assert detections(RankCollapse(RANK), values) == []


def test_spectra_that_come_rarely_suffice() -> None:
    values = _ranks(np.where(np.arange(200) < 100, 0.0, np.log(0.4)), seed=7)
    valid = np.arange(200)[:, None] % 10 == np.arange(SERIES) % 10
    found = detections(RankCollapse(RANK), np.where(valid, values, np.nan), valid=valid)
    assert sorted(one.series for _, one in found) == list(range(SERIES))
