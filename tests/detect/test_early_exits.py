"""What is left out because nothing could come of it: nothing would have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.detect import branch_split, layer_departure, regime_shift
from bifurk_service.detect.collapsed import Collapsed
from bifurk_service.detect.history import History
from bifurk_service.detect.leap import leaps, newest_leap
from bifurk_service.detect.medians import masked_median
from bifurk_service.detect.prediction_error import least_error, noise_error
from bifurk_service.detect.robust_fit import basis_of, miss
from bifurk_service.detect.shift_scores import ShiftTest
from bifurk_service.detect.shift_window import FEW
from bifurk_service.detect.streams import autoregressive
from bifurk_service.detect.turning_point import TurningPoint
from bifurk_service.detect.variance_burst import VarianceBurst
from bifurk_service.stats.registry import BY_NAME
from tests.detect.layers import population_detections, relaxing, roles
from tests.detect.runs import assert_alike, detections

LENGTH = 130
SERIES = 48
Array = NDArray[np.float64]


def _near_the_least_change(seed: int) -> Array:
    """Walks, some with jumps around 5 %, which is the least worth telling."""
    random = np.random.default_rng(seed)
    course = np.cumsum(0.0015 * random.standard_normal((LENGTH, SERIES)), axis=0)
    jumps = random.uniform(-0.09, 0.09, SERIES)
    jumps[np.abs(jumps) < 0.03] = 0
    jumped = np.arange(LENGTH)[:, None] >= random.integers(20, 125, SERIES)
    values: Array = np.exp(course + 0.0015 * random.standard_normal(course.shape) + jumps * jumped)
    return values


@pytest.fixture(scope="module")
def walks() -> Array:
    return _near_the_least_change(3)


def test_a_shift_is_told_of_the_same_series_if_all_are_looked_at(
    walks: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    valid = np.random.default_rng(1).random(walks.shape) > 0.02
    one, all_of_them = (regime_shift.RegimeShift(BY_NAME["std"]) for _ in range(2))
    found = detections(one, walks, valid=valid)
    looked_at: list[int] = []
    screened = regime_shift.moved_enough

    def everything(
        history: History, rows: NDArray[np.intp], *, reach: int, least: float
    ) -> NDArray[np.intp]:
        looked_at.append(len(screened(history, rows, reach=reach, least=least)))
        return rows

    monkeypatch.setattr(regime_shift, "moved_enough", everything)
    monkeypatch.setattr(regime_shift, "newest_leap", lambda values: np.full(len(values), np.inf))
    monkeypatch.setattr(
        ShiftTest,
        "_may_be_out",
        lambda _, fits, bases, scale: np.ones(len(fits[0].after), dtype=np.bool_),
    )
    assert detections(all_of_them, walks, valid=valid) == found
    assert_alike(all_of_them.snapshot(), one.snapshot())
    assert len(found) > 10
    assert 0 < np.mean(looked_at) < 0.9 * SERIES


@pytest.mark.parametrize("name", ["branch_split", "layer_departure"])
def test_layers_part_or_leave_alike_if_all_groups_are_looked_at(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, layers = np.random.default_rng(5), 8
    values = np.concatenate([0.3 * relaxing(random, LENGTH, layers) for _ in range(6)], axis=1)
    sizes = random.uniform(0.02, 0.12, 6)
    for group, size in enumerate(sizes):
        leaving = 3 if name == "branch_split" else 1
        values[70 + 5 * group :, group * layers : group * layers + leaving] += size
    module, kind = {
        "branch_split": (branch_split, branch_split.BranchSplit),
        "layer_departure": (layer_departure, layer_departure.LayerDeparture),
    }[name]
    tensors = roles(6, layers)
    found = population_detections(kind(BY_NAME["std"]), tensors, np.exp(values))
    monkeypatch.setattr(module, "apart_by", lambda values, _: np.full(len(values), np.inf))
    monkeypatch.setattr(
        layer_departure.LayerDeparture, "_far", lambda _, distance, __: np.arange(len(distance))
    )
    assert population_detections(kind(BY_NAME["std"]), tensors, np.exp(values)) == found
    assert 0 < len({one.series // layers for _, one in found}) < 6


def test_a_turn_is_told_alike_if_the_noise_of_all_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(7)
    bend = np.abs(np.linspace(-1, 1, LENGTH)[:, None]) * random.uniform(0, 0.3, SERIES)
    values = np.exp(bend + 0.002 * random.standard_normal(bend.shape))
    found = detections(TurningPoint(BY_NAME["stable_rank"]), values)
    monkeypatch.setattr(
        TurningPoint,
        "_needed",
        lambda self, change: self._needed_by(np.arange(len(change))),
    )
    assert detections(TurningPoint(BY_NAME["stable_rank"]), values) == found
    assert 0 < len({one.series for _, one in found}) < SERIES


def test_a_burst_is_told_alike_if_every_size_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(8)
    noise = random.standard_normal((LENGTH, SERIES))
    noise[90:] *= np.where(np.arange(SERIES) % 2, 4.0, 1.0)
    one, all_of_them = (VarianceBurst(BY_NAME["update_ratio"]) for _ in range(2))
    found = detections(one, np.exp(0.1 * noise))

    def measured(self: VarianceBurst, sizes: Array, judged: NDArray[np.bool_]) -> Array:
        past = self._memory["sizes"][:, :100]
        excess = self._excess_over(past, self._history.known[:, :100], sizes)
        return np.where(judged, excess, 0.0)

    monkeypatch.setattr(VarianceBurst, "_excess", measured)
    assert detections(all_of_them, np.exp(0.1 * noise)) == found
    assert_alike(all_of_them.snapshot(), one.snapshot())
    assert {one.series % 2 for _, one in found} == {1}


def test_a_collapse_is_told_alike_if_every_median_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(9)
    shares = 10.0 ** random.uniform(-4.5, -1.5, SERIES)
    fallen = np.arange(60)[:, None] >= random.integers(5, 55, SERIES)
    values = np.where(fallen, shares, 1.0) * random.uniform(0.4, 2.5, (60, SERIES))
    found = detections(Collapsed(BY_NAME["std"]), values)
    monkeypatch.setattr(
        Collapsed,
        "_past",
        lambda self, _: masked_median(self._history.values, self._history.known),
    )
    assert detections(Collapsed(BY_NAME["std"]), values) == found
    assert 0 < len({one.series for _, one in found}) < SERIES


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.9])
@pytest.mark.parametrize(("known", "scale", "degree"), [(66, 6, 1), (72, 12, 2), (20, 3, 2)])
def test_no_fit_has_a_smaller_error_than_the_least(
    correlation: float, known: int, scale: int, degree: int
) -> None:
    values = autoregressive(
        np.random.default_rng(2), 400, 60 + scale, correlation=correlation
    ).T.copy()
    times = np.arange(60.0 + scale)[None, :]
    mask = times >= 60 + scale - known
    basis = basis_of(times, mask, reference=60, degree=degree)
    found = miss(basis, values)
    error = noise_error(found, basis.mask, degree=degree, scale=scale)
    least = least_error(found, basis.mask, scale)
    assert (least <= error).all()
    assert (least > 0).all()


def test_no_leap_is_larger_than_the_newest() -> None:
    values = np.cumsum(np.random.default_rng(4).standard_normal((400, 60)), axis=1)
    known = np.ones((1, 60), dtype=np.bool_)
    leap, _ = leaps(np.arange(60.0)[None, :], values, known, np.full(400, 9.0))
    assert (np.abs(leap) <= np.abs(newest_leap(values))).all()
    assert (leap == newest_leap(values)).any()


def test_a_fit_among_others_is_to_the_bit_the_fit_alone_and_with_times_of_its_own() -> None:
    random = np.random.default_rng(6)
    values, times = random.standard_normal((700, 66)), 10 + np.cumsum(random.integers(1, 9, 66))
    for first, degree in ((0, 1), (0, 2), (11, 2)):
        known = np.arange(66)[None, :] >= first
        shared = basis_of(times[None, :] * 1.0, known, reference=60, degree=degree)
        among = miss(shared, values)
        for rows in (slice(3, 4), slice(100, 160)):
            alone = miss(shared, values[rows])
            count = len(values[rows])
            of_its_own = miss(
                basis_of(
                    np.repeat(times[None, :] * 1.0, count, axis=0),
                    np.repeat(known, count, axis=0),
                    reference=60,
                    degree=degree,
                ),
                values[rows],
            )
            for one in (alone, of_its_own):
                np.testing.assert_array_equal(one.after, among.after[rows])
                np.testing.assert_array_equal(one.residuals, among.residuals[rows])


@pytest.mark.parametrize("statistic", ["std", "update_ratio"])
def test_a_shift_is_to_the_bit_the_same_with_many_series_as_alone(
    walks: Array, statistic: str
) -> None:
    """More series than are taken together whatever their times, and some without a value."""
    assert walks.shape[1] > FEW
    valid = np.random.default_rng(10).random(walks.shape) > 0.03
    values = walks**4
    together = detections(regime_shift.RegimeShift(BY_NAME[statistic]), values, valid=valid)
    first = together[0][1].series
    column = slice(first, first + 1)
    alone = detections(
        regime_shift.RegimeShift(BY_NAME[statistic]), values[:, column], valid=valid[:, column]
    )
    expected = [(index, replace(one, series=0)) for index, one in together if one.series == first]
    assert alone == expected
