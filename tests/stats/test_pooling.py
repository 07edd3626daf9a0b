"""Distributions over shards and over several tensors: exact, and the same whatever the order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import merge
from bifurk.wire import TensorPart
from bifurk_service.stats.distributions.distribution import Distribution
from bifurk_service.stats.pooling import (
    SHAPES_NOT_POOLED,
    counts_of,
    distribution_of,
    pooled,
    pooled_statistics,
)
from bifurk_service.stats.registry import Family, names_of
from bifurk_service.stats.value import UNRESOLVED
from tests.stats.oracle import expected_elements
from tests.stats.tensors import counted, exact, weights
from tests.stats.tensors import distribution_of as distribution_behind

LEVELS = ("mean", "std", "rms", "l1_norm", "l2_norm", "min", "max", "zero_share", "quantile_p95")


def small(values: Exact, name: str = "w") -> TensorPart:
    flat = Exact(dtype=values.dtype, data=values.data.reshape(-1))
    return TensorPart(name=name, shape=flat.data.shape, dtype=values.dtype, values=flat)


def large(values: Exact, name: str = "w") -> TensorPart:
    return TensorPart(
        name=name, shape=values.data.shape, dtype=values.dtype, counts=counted(values)
    )


def same(a: Distribution, b: Distribution) -> bool:
    return (
        np.array_equal(a.values, b.values)
        and np.array_equal(a.counts, b.counts)
        and (a.nonfinite, a.lossless) == (b.nonfinite, b.lossless)
    )


def shards(values: Exact, parts: int) -> list[Exact]:
    return [Exact(dtype=values.dtype, data=d) for d in np.array_split(values.data, parts)]


def test_a_whole_tensor_is_what_its_part_carries() -> None:
    w = exact(weights("laplace", 900))
    assert same(distribution_of([small(w)]), distribution_behind(w, carried="values"))
    assert same(distribution_of([large(w)]), distribution_behind(w, carried="counts"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_shards_of_counts_add_up_to_the_whole(dtype: str) -> None:
    w = exact(np.append(weights("laplace", 30_000), [np.nan, np.inf]), dtype)
    together = distribution_of([large(shard) for shard in shards(w, 7)])
    assert same(together, distribution_of([large(w)]))
    assert together.nonfinite == 2


def test_shards_of_exact_values_stay_exact() -> None:
    gains = exact(1 + 0.001 * weights("gaussian", 768))
    assert same(
        distribution_of([small(s) for s in shards(gains, 4)]), distribution_of([small(gains)])
    )


def test_a_shard_in_counts_and_one_in_values_are_both_counted() -> None:
    w = exact(weights("gaussian", 20_000))
    first, rest = (Exact(dtype="float32", data=d) for d in np.split(w.data, [5_000]))
    assert same(distribution_of([small(first), large(rest)]), distribution_of([large(w)]))


@given(
    tensors=st.lists(arrays(np.uint16, st.integers(0, 40)), min_size=1, max_size=5),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_pooling_is_associative_commutative_and_equal_to_the_batch(
    tensors: Sequence[NDArray[np.uint16]], seed: int
) -> None:
    parts = [large(Exact(dtype="bfloat16", data=bits)) for bits in tensors]
    batch = large(Exact(dtype="bfloat16", data=np.concatenate(tensors)))
    whole = pooled([[part] for part in parts])
    shuffled = [parts[i] for i in np.random.default_rng(seed).permutation(len(parts))]
    assert same(whole, distribution_of([batch]))
    assert same(pooled([[part] for part in shuffled]), whole)
    assert same(pooled([shuffled]), whole)
    merged = merge([merge([counts_of(p) for p in parts[:2]]), *(counts_of(p) for p in parts[2:])])
    assert np.array_equal(merged.counts, whole.counts)


def test_levels_and_quantiles_of_pooled_tensors_are_those_of_all_their_values() -> None:
    tensors = [exact(s * weights("gaussian", 9_000, seed=s), "bfloat16") for s in (1, 2, 5)]
    everything = np.concatenate([t.float64() for t in tensors])
    statistics = pooled_statistics(pooled([[large(t)] for t in tensors]))
    expected = expected_elements(everything)
    assert list(statistics) == list(names_of(Family.ELEMENTS))
    for name in LEVELS:
        assert statistics[name] == pytest.approx(expected[name], rel=1e-11), name
    assert statistics["count"] == 27_000


def test_shapes_are_not_fitted_to_pooled_tensors() -> None:
    statistics = pooled_statistics(pooled([[small(exact(weights("gaussian", 500)))]]))
    for name in ("excess_kurtosis", "dip", "near_zero_mass_0_1"):
        assert statistics[name] == SHAPES_NOT_POOLED


def test_small_tensors_pool_exactly_and_large_float32_ones_to_the_nearest_bfloat16() -> None:
    gains = [[small(exact(1 + 0.001 * weights("gaussian", 768, seed=s)))] for s in range(3)]
    assert pooled_statistics(pooled(gains))["std"] == pytest.approx(2e-5, rel=0.05)
    mixed = pooled([*gains, [large(exact(1 + 0.001 * weights("gaussian", 20_000)))]])
    assert pooled_statistics(mixed)["std"] == UNRESOLVED


def test_bfloat16_and_float32_pool_and_count_as_rounded() -> None:
    a, b = weights("gaussian", 20_000, seed=1), weights("gaussian", 20_000, seed=2)
    together = pooled([[large(exact(a, "bfloat16"))], [large(exact(b))]])
    assert not together.lossless
    assert pooled_statistics(together)["std"] == pytest.approx(np.std([a, b]), rel=1e-4)


@pytest.mark.parametrize("carry", [small, large])
def test_float16_does_not_pool_with_others_and_the_formats_are_named(carry: object) -> None:
    parts = [carry(exact([1.0, 2.0], dtype)) for dtype in ("float16", "bfloat16")]  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"bf16, f16.*bfloat16, float16"):
        pooled([[part] for part in parts])


def test_nothing_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="at least one piece"):
        distribution_of([])
    with pytest.raises(ValueError, match="at least one tensor"):
        pooled([])
