"""Real trained weights: all statistics of elements and motion equal float64 numpy and scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import SMALL_TENSOR_ELEMENTS, sample_positions
from bifurk_service.stats.elements.element_table import (
    ROUNDED_OUTLIER_TOLERANCE,
    ROUNDED_SHARE_TOLERANCE,
    ROUNDED_WEIBULL_TOLERANCE,
    element_statistics,
)
from bifurk_service.stats.registry import Family, names_of
from bifurk_service.stats.rows.elements import SHAPE_CLASSES
from bifurk_service.stats.value import Value
from tests.pretrained import BERT, CNN, LSTM, Pretrained, tensor_input, weights_of
from tests.stats.oracle import (
    expected_dip,
    expected_elements,
    expected_js_divergence,
    expected_path_dip_ratio,
    expected_shape,
)
from tests.stats.oracle_shape import expected_class
from tests.stats.tensors import distribution_of, exact, measure_tensor, number
from tests.stats.test_rounded_counts import tolerance

Floats = NDArray[np.float64]

RELATIVE = 1e-11
"""Sums of up to 10^6 float64 products, in another order than numpy's."""
LOOSER = {"truncation_ratio": 1e-8, "body_std": 1e-8, "weibull_shape": 1e-9, "weibull_scale": 1e-9}
"""Relative, of what both sides find by iteration or sum in closed form."""
RATIOS = frozenset(
    {"skewness", "excess_kurtosis", "gaussian_ks_distance", "gaussian_js_divergence", "dip"}
    | {"dip_ratio", "asymmetry", "mean_to_std", "hoyer_sparsity", "outlier_share"}
)
"""Small where nothing is to be seen: their errors are absolute."""
CLASS = frozenset({"shape_class", "shape_margin"})
MARGIN_TOLERANCE = 0.1
"""Mixtures are fitted to all values here and to cells of magnitude there: where the wider Gaussian
holds 0.2 % of the values, its std ratio of 5.85 is seen as 6.12."""
GRID_MARGIN_TOLERANCE = 0.2
"""The oracle's dip, and with it the margin to a second mode, sees the steps of the grid."""
ROUNDED_BODY_TOLERANCE = 2.0**-7
"""Relative, of the body's spread and cut from rounded counts: its end is a rounded value."""
JACKKNIFE = 0.03
"""Relative: a standard error by leaving each of 4,096 elements out differs by the order of the
largest element's share from the linearised one."""
STANDARD_ERRORS = 5.0
"""A sample's statistic is within this many of the whole tensor's: once in 10^6 it is not."""
STEPS = 20

LARGE = {
    "bert query": (BERT, "encoder.layer.0.attention.self.query.weight"),
    "bert key": (BERT, "encoder.layer.5.attention.self.key.weight"),
    "bert positions": (BERT, "embeddings.position_embeddings.weight"),
    "cnn conv1": (CNN, "conv1.weight"),
    "lstm input": (LSTM, "lstm.weight_ih_l0"),
    "lstm hidden": (LSTM, "lstm.weight_hh_l2"),
}
SMALL = {
    "bert gain": (BERT, "encoder.layer.0.output.LayerNorm.weight"),
    "bert bias": (BERT, "encoder.layer.2.intermediate.dense.bias"),
    "bert key bias": (BERT, "encoder.layer.1.attention.self.key.bias"),
    "cnn running variance": (CNN, "conv2_BN.running_var"),
    "cnn running mean": (CNN, "conv6_BN.running_mean"),
    "cnn gain": (CNN, "conv4_BN.weight"),
    "lstm bias": (LSTM, "lstm.bias_hh_l1"),
}
ALL = LARGE | SMALL


def weights(name: str) -> NDArray[np.float32]:
    model, tensor = ALL[name]
    return weights_of(model)[tensor]


def all_expected(actual: Floats) -> dict[str, float]:
    """Every element statistic of the weights themselves, but for the class and its margin."""
    expected = expected_elements(actual) | expected_shape(actual)
    expected["gaussian_js_divergence"] = expected_js_divergence(actual)
    expected["dip"] = expected_dip(actual)
    expected["dip_ratio"] = expected["dip"] / max(0.0025, 0.75 / np.sqrt(actual.size))
    assert set(expected) | CLASS == set(names_of(Family.ELEMENTS))
    return expected


def elements_as_expected(
    values: Exact, measured: dict[str, Value], allowed: Callable[[str, dict[str, float]], float]
) -> None:
    """Compares every element statistic; ``allowed`` is absolute, by name and all true values."""
    expected = all_expected(values.float64())
    for name, truth in expected.items():
        assert abs(number(measured[name]) - truth) <= allowed(name, expected), name
    kind, margin = expected_class(values.float64())
    assert SHAPE_CLASSES[int(number(measured["shape_class"]))] == kind
    assert abs(number(measured["shape_margin"]) - margin) <= allowed("shape_margin", expected)


def exactly(name: str, expected: dict[str, float]) -> float:
    """Values known exactly; signed sums are exact relative to what they add up."""
    if name == "mean":
        return RELATIVE * expected["rms"]
    if name == "shape_margin":
        return MARGIN_TOLERANCE
    return LOOSER.get(name, RELATIVE) * max(abs(expected[name]), _unit(name, expected))


def on_a_grid(name: str, expected: dict[str, float]) -> float:
    """Values known exactly on a 16-bit grid, whose own steps are smoothed for some statistics."""
    if name == "shape_margin":
        return GRID_MARGIN_TOLERANCE
    if name in {"dip", "gaussian_js_divergence"}:
        return ROUNDED_SHARE_TOLERANCE
    return exactly(name, expected) if name != "dip_ratio" else ROUNDED_SHARE_TOLERANCE / 0.0025


def rounded(name: str, expected: dict[str, float]) -> float:
    """Values known to the nearest bfloat16: what the module says that costs."""
    if name == "shape_margin":
        return MARGIN_TOLERANCE
    truth = abs(expected[name])
    if name == "dip_ratio":
        return ROUNDED_SHARE_TOLERANCE / 0.0025
    if name in {"weibull_shape", "weibull_scale"}:
        return ROUNDED_WEIBULL_TOLERANCE * truth
    if name == "outlier_share":
        return ROUNDED_OUTLIER_TOLERANCE
    if name in {"asymmetry", "mean_to_std", "hoyer_sparsity", "gaussian_js_divergence"}:
        return ROUNDED_SHARE_TOLERANCE * (1 + truth)
    if name in {"truncation_ratio", "body_std"}:
        return ROUNDED_BODY_TOLERANCE * truth
    return tolerance(name, expected[name], expected["rms"])


def _unit(name: str, expected: dict[str, float]) -> float:
    """What an absolute error of a statistic near zero is measured in."""
    return expected["rms"] if name.startswith("quantile") else 1.0 if name in RATIOS else 0.0


@pytest.mark.parametrize("model", [BERT, CNN, LSTM], ids=lambda model: model.package)
def test_the_wheels_hold_the_models(model: Pretrained) -> None:
    weights = weights_of(model)
    sizes = {BERT: 22_713_216, CNN: 22_244_328, LSTM: 1_423_618}
    assert sum(array.size for array in weights.values()) >= sizes[model]
    assert all(np.isfinite(array).all() for array in weights.values())


@pytest.mark.parametrize("name", SMALL)
def test_elements_of_small_tensors_equal_numpy_and_scipy(name: str) -> None:
    measured = measure_tensor(tensor_input(weights(name)))
    elements_as_expected(exact(weights(name)), measured, exactly)


@pytest.mark.parametrize("name", LARGE)
def test_elements_of_bfloat16_weights_equal_numpy_and_scipy_from_their_counts(name: str) -> None:
    values = exact(weights(name), "bfloat16")
    measured = element_statistics(distribution_of(values, carried="counts"))
    elements_as_expected(values, measured, on_a_grid)


@pytest.mark.parametrize("name", LARGE)
def test_elements_of_float32_weights_are_within_what_rounding_costs(name: str) -> None:
    measured = measure_tensor(tensor_input(weights(name)))
    elements_as_expected(exact(weights(name)), measured, rounded)


def earlier(now: NDArray[np.float32], *, seed: int) -> tuple[NDArray[np.float32], ...]:
    """The tensor at the previous and at the first snapshot: a third unmoved, some signs flipped."""
    rng = np.random.default_rng(seed)
    std = np.std(now)
    moving = rng.uniform(size=now.shape) > 1 / 3
    previous = now + np.where(moving, 0.01 * std * rng.standard_normal(now.shape), 0.0)
    first = 0.7 * now + 0.5 * std * rng.standard_normal(now.shape)
    return previous.astype(np.float32), first.astype(np.float32)


def since_previous(now: Floats, previous: Floats) -> dict[str, float]:
    ratio = np.sqrt(np.mean((now - previous) ** 2) / np.mean(now**2))
    paths = (now != 0) & (previous != 0)
    growth = np.median(np.log(np.abs(now[paths])) - np.log(np.abs(previous[paths])))
    return {
        "update_ratio": ratio / np.sqrt(STEPS),
        "update_ratio_raw": ratio,
        "update_ratio_stderr": 0.0,
        "unmoved_share": np.mean(now == previous),
        "sign_flip_share": np.mean(np.sign(now) * np.sign(previous) < 0),
        "path_flow": growth / np.sqrt(STEPS),
    }


def since_first(now: Floats, first: Floats) -> dict[str, float]:
    return {
        **compared_with_first(now, first),
        "displacement_std": np.std(now - first),
        "sign_flip_share_to_first": np.mean(np.sign(now) * np.sign(first) < 0),
        "dying_share": np.mean(np.abs(now) < 0.05 * np.std(first)),
        "growing_share": np.mean(np.abs(now) > 3 * np.std(first)),
        "path_dip_ratio": expected_path_dip_ratio(now, first),
    }


def compared_with_first(now: Floats, first: Floats) -> dict[str, float]:
    """What has a standard error when it comes from a sample."""
    return {
        "distance_to_first": np.sqrt(np.mean((now - first) ** 2) / np.mean(now**2)),
        "cosine_to_first": now @ first / np.linalg.norm(now) / np.linalg.norm(first),
        "std_ratio_to_first": np.std(now) / np.std(first),
    }


def jackknife(now: Floats, first: Floats, size: int) -> dict[str, float]:
    """Standard errors of a sample without replacement, each element left out in turn."""
    without = [compared_with_first(np.delete(now, i), np.delete(first, i)) for i in range(now.size)]
    spread = np.sqrt((now.size - 1) * (1 - now.size / size))
    return {
        f"{name}_stderr": float(spread * np.std([left[name] for left in without]))
        for name in without[0]
    }


@pytest.mark.parametrize("name", ALL)
def test_motion_equals_numpy(name: str) -> None:
    """Since the previous snapshot from all elements; since the first from those that travel."""
    now = weights(name)
    previous, first = earlier(now, seed=len(name))
    measured = measure_tensor(tensor_input(now, previous=previous, first=first, steps=STEPS))
    now64, previous64, first64 = (a.reshape(-1).astype(np.float64) for a in (now, previous, first))
    expected = since_previous(now64, previous64)
    if now.size > SMALL_TENSOR_ELEMENTS:
        positions = sample_positions(now.size)
        expected |= since_first(now64[positions], first64[positions])
    else:
        expected |= since_first(now64, first64)
        expected |= {f"{compared}_stderr": 0.0 for compared in compared_with_first(now64, first64)}
    for statistic, truth in expected.items():
        assert measured[statistic] == pytest.approx(truth, rel=RELATIVE, abs=0), statistic


@pytest.mark.parametrize("name", ["cnn conv1", "lstm hidden"])
def test_standard_errors_of_a_sample_equal_the_jackknife_and_hold(name: str) -> None:
    now = weights(name)
    _, first = earlier(now, seed=3)
    measured = measure_tensor(tensor_input(now, first=first))
    now64, first64 = (array.reshape(-1).astype(np.float64) for array in (now, first))
    positions = sample_positions(now.size)
    errors = jackknife(now64[positions], first64[positions], now.size)
    for statistic, error in errors.items():
        assert measured[statistic] == pytest.approx(error, rel=JACKKNIFE), statistic
    for statistic, truth in compared_with_first(now64, first64).items():
        off = abs(number(measured[statistic]) - truth)
        assert off <= STANDARD_ERRORS * errors[f"{statistic}_stderr"], statistic


def test_every_motion_statistic_has_been_compared() -> None:
    now = np.arange(4.0)
    known = set(since_previous(now, now[::-1])) | set(since_first(now, now[::-1]))
    stderr = {f"{name}_stderr" for name in compared_with_first(now, now[::-1])}
    assert known | stderr == set(names_of(Family.MOTION))
