"""The dip: equal to an independent implementation, and an honest judge of modes."""

from __future__ import annotations

from collections.abc import Callable

import diptest
import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.stats.distributions.dip import dip
from bifurk_service.stats.distributions.dips import dips
from bifurk_service.stats.elements.element_table import dip_points, dip_threshold
from tests.stats.tensors import LAWS, distribution_of, exact, weights

Sampler = Callable[[np.random.Generator, int], NDArray[np.float64]]

SAMPLERS: dict[str, Sampler] = {
    "gaussian": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.uniform(size=n),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "very skewed": lambda rng, n: rng.lognormal(0, 3, n),
    "two modes": lambda rng, n: rng.normal(size=n) + 3 * rng.choice([-1, 1], n),
    "three modes": lambda rng, n: rng.normal(size=n) + 4 * rng.choice([-1, 0, 1], n),
    "few distinct": lambda rng, n: rng.integers(0, 5, n).astype(np.float64),
    "many ties": lambda rng, n: np.round(rng.normal(size=n), 1),
    "ties in two modes": lambda rng, n: np.round(
        rng.normal(size=n) + 3 * rng.choice([-1, 1], n), 1
    ),
    "mostly one value": lambda rng, n: np.where(rng.uniform(size=n) < 0.9, 0.0, rng.normal(size=n)),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_dip_equals_the_reference_implementation(sampler: str) -> None:
    rng = np.random.default_rng(11)
    for size in [4, 5, 6, 7, 8, 31, *rng.integers(9, 400, 60), 2_000]:
        sample = np.sort(SAMPLERS[sampler](rng, int(size)))
        assert dip(sample) == pytest.approx(
            diptest.dipstat(sample, allow_zero=False), rel=0, abs=1e-12
        ), sample.tolist()


def test_subnormal_gaps_count_like_wider_ones() -> None:
    tiny = float(np.finfo(np.float64).tiny)
    for sample in (
        np.ldexp([0.0, tiny / 10, tiny, tiny, tiny, tiny, 1.0], -1),
        np.array([-1.0, -5e-324, 0.0, 0.0, 5e-324, tiny, 1.0]),
        np.sort(np.ldexp(np.random.default_rng(13).normal(size=200), -1_060)),
    ):
        expected = diptest.dipstat(np.ldexp(sample, 900), allow_zero=False)
        assert dip(sample) == pytest.approx(expected, rel=0, abs=1e-12)
        assert dip(-sample[::-1]) == pytest.approx(expected, rel=0, abs=1e-12)


def test_many_samples_at_once_have_the_dips_of_each_alone() -> None:
    rng = np.random.default_rng(12)
    samples = [
        np.sort(SAMPLERS[name](rng, int(size))) * 2.0 ** int(rng.integers(-60, 0))
        for size in [1, 2, 3, 4, 5, 31, *rng.integers(6, 400, 20), 2_000]
        for name in SAMPLERS
    ]
    samples = [sample / max(1.0, np.max(np.abs(sample))) for sample in samples]
    together = dips(np.concatenate(samples), np.array([sample.size for sample in samples]))
    assert together.tolist() == [dip(sample) for sample in samples]


def test_gaps_of_very_different_size_are_kept_apart() -> None:
    wide = np.sort(np.ldexp(1.0, -np.arange(900)))
    samples = [wide, np.arange(50.0) / 50, np.ldexp(np.arange(40.0), -800), wide[400:]]
    together = dips(np.concatenate(samples), np.array([sample.size for sample in samples]))
    assert together.tolist() == [dip(sample) for sample in samples]


def test_two_equal_heaps_have_the_largest_dip_there_is() -> None:
    assert dip(np.repeat([0.0, 1.0], 50)) == 0.25


def test_evenly_spaced_values_have_the_smallest_dip_there_is() -> None:
    assert dip(np.arange(100.0)) == 1 / 200


@pytest.mark.parametrize("sample", [[3.0], [1.0, 2.0], [1.0, 2.0, 9.0], [5.0] * 40])
def test_too_little_to_have_modes_has_the_smallest_dip(sample: list[float]) -> None:
    assert dip(np.array(sample)) == 1 / (2 * len(sample))


def test_the_dip_does_not_depend_on_unit_origin_or_direction() -> None:
    sample = np.sort(SAMPLERS["two modes"](np.random.default_rng(3), 500))
    moved = (sample * 2.0**-40, sample + 1.0, np.sort(-sample))
    assert [dip(other) for other in moved] == pytest.approx([dip(sample)] * 3, rel=1e-9)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("size", [3_776, 20_000, 200_000])
def test_one_mode_stays_below_the_threshold(law: str, size: int) -> None:
    for seed in range(4):
        values = exact(weights(law, size, seed=seed))
        carried = "values" if size <= 16_384 else "counts"
        points = dip_points(distribution_of(values, carried=carried))
        assert dip(points) < dip_threshold(size)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_two_modes_are_seen_on_every_number_grid(dtype: str) -> None:
    rng = np.random.default_rng(5)
    values = 0.02 * (rng.normal(size=100_000) + 1.3 * rng.choice([-1, 1], 100_000))
    points = dip_points(distribution_of(exact(values, dtype), carried="counts"))
    assert dip(points) > dip_threshold(100_000)


def test_the_grid_of_bfloat16_is_no_crowd_of_modes() -> None:
    """A spread of ten steps: the raw values are heaps with gaps between them."""
    values = exact(5 + 0.3 * np.random.default_rng(2).normal(size=500_000), "bfloat16")
    distribution = distribution_of(values, carried="counts")
    assert dip(dip_points(distribution)) < dip_threshold(500_000)
    heaps = distribution.quantiles((np.arange(2_000) + 0.5) / 2_000)
    assert dip(heaps) > dip_threshold(500_000)
