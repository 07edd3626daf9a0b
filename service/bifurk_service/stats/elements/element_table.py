"""Statistics of tensors' elements whatever their places: moments, quantiles, shape, tails, modes.

Of bfloat16 and float16 tensors, and of small tensors, every statistic is that of the exact
values. Of large float32 and float64 tensors the values are known to the nearest bfloat16; the
tolerances below say what that costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.distributions.dip import dip_threshold
from bifurk_service.stats.distributions.distribution import RESOLVED_STEPS, Distribution
from bifurk_service.stats.elements.columns import Columns
from bifurk_service.stats.elements.folding import Expanded, Folded, expand, fold
from bifurk_service.stats.elements.gaussian_distance import js_divergences, ks_distances
from bifurk_service.stats.elements.modes import dip_points, stacked_dips
from bifurk_service.stats.elements.shape import (
    CLASS_STEPS,
    DISTINCT_VALUES,
    Measures,
    shape_classes,
)
from bifurk_service.stats.elements.stack import Floats, Kind, Stack, group_of, stack
from bifurk_service.stats.elements.stacked_moments import StackedMoments, stacked_moments
from bifurk_service.stats.elements.tails import body
from bifurk_service.stats.elements.weibull import fitted_ranks, weibull, weibull_of_elements
from bifurk_service.stats.registry import Family, names_of
from bifurk_service.stats.value import (
    ALL_EQUAL,
    ALL_ZERO,
    EMPTY,
    NO_FINITE,
    UNRESOLVED,
    NoValue,
    Value,
)

__all__ = ["dip_points", "dip_threshold", "element_statistics", "element_table"]

ROUNDED_VALUE_TOLERANCE: Final = 2.0**-8
"""Relative, of ``min``, ``max``, ``std`` and the norms from rounded counts (of ``mean`` in units of
``rms``): half a bfloat16 step just above a power of two. Of the sums only outliers come near it."""
ROUNDED_QUANTILE_TOLERANCE: Final = 2.0**-7
"""Relative, of quantiles from rounded counts: a whole step, if all of a bin is at one end of it."""
ROUNDED_SHAPE_TOLERANCE: Final = 2.0**-6
"""In units of 1 + |value|, of skewness and excess kurtosis from rounded counts: the fourth power
of one outlier rounded by 2^-8."""
ROUNDED_SHARE_TOLERANCE: Final = 2.0**-8
"""Absolute, of shares near zero, the KS distance and the dip from rounded counts, for densities
without a jump inside a bin; measured up to 0.0012 where ``Distribution.is_coarse`` just lets pass.
"""

ROUNDED_WEIBULL_TOLERANCE: Final = 2.0**-10
"""Relative, of the Weibull shape and scale from rounded counts; measured up to 7e-4, at a shape of
14 twelve standard deviations from zero, and 6e-5 for weights about zero."""
ROUNDED_OUTLIER_TOLERANCE: Final = 2.0**-11
"""Absolute, of the outlier share from rounded counts; measured up to 1.5e-4, for a Student-2."""

HALF_EQUAL: Final = NoValue("half of the values are equal, which leaves the body no width")
FLAT_BODY: Final = NoValue("the body is as flat as a uniform, which no normal is cut to")
ZEROS_FITTED: Final = NoValue("zeros lie in the fitted range, and have no logarithm")
ONE_MAGNITUDE: Final = NoValue("the fitted range holds a single magnitude")
SINGLE: Final = NoValue("a single value has no sparsity")
TOO_WIDE: Final = NoValue("the largest value leaves the others no digits in float64")

_NAMES: Final = names_of(Family.ELEMENTS)
_QUANTILES: Final = {
    "quantile_p0_1": 0.001,
    "quantile_p1": 0.01,
    "quantile_p5": 0.05,
    "quantile_p25": 0.25,
    "quantile_p50": 0.5,
    "quantile_p75": 0.75,
    "quantile_p95": 0.95,
    "quantile_p99": 0.99,
    "quantile_p99_9": 0.999,
}
_PAIRS: Final = (
    ("quantile_p0_1", "quantile_p99_9"),
    ("quantile_p1", "quantile_p99"),
    ("quantile_p5", "quantile_p95"),
    ("quantile_p25", "quantile_p75"),
)
_MAGNITUDE_QUANTILES: Final = {"abs_quantile_p50": 0.5, "abs_quantile_p99": 0.99}
_NEAR_ZERO: Final = {"near_zero_mass_0_01": 0.01, "near_zero_mass_0_1": 0.1}
_DIP: Final = ("dip", "dip_ratio")
_BODY: Final = ("outlier_share", "truncation_ratio", "body_std")
_WEIBULL: Final = ("weibull_shape", "weibull_scale")
_CLASS: Final = ("shape_class", "shape_margin")
_SPREAD: Final = (
    "skewness",
    "excess_kurtosis",
    *_NEAR_ZERO,
    "gaussian_ks_distance",
    "gaussian_js_divergence",
    "mean_to_std",
    "asymmetry",
    *_DIP,
    *_BODY,
    *_WEIBULL,
)
"""What has no value where there is no spread."""

_SMALLEST_DEVIATION: Final = 2.0**-900
"""Robust deviation over the largest magnitude, below which gaps between values may underflow."""
_FREED_BYTES: Final = 1 << 24
"""More than all arrays of a batch together."""
_ENTRIES_AT_ONCE: Final = 131_072
"""Distinct values that are worked on together: arrays of a megabyte. With smaller ones the calls
themselves cost more (16 ms more of 56 at a quarter), with larger ones little less."""


def element_table(
    distributions: Sequence[Distribution],
) -> tuple[NDArray[np.float64], list[dict[str, str]]]:
    """Every statistic of ``Family.ELEMENTS`` of many tensors.

    Non-finite elements are counted, and left out of everything else. Neither raises nor warns for
    what the values are, and no tensor's statistics depend on the others.

    Returns:
        float64 [T, K] in the order of ``names_of(Family.ELEMENTS)``, NaN without a value; and for
        each tensor, by statistic, why there is none.
    """
    table = np.full((len(distributions), len(_NAMES)), np.nan)
    reasons: list[dict[str, str]] = [{} for _ in distributions]
    _keep_freed_memory()
    with np.errstate(all="ignore"):
        for rows in _groups(distributions):
            values, why = _measure(stack([distributions[row] for row in rows]))
            table[rows] = values
            for row, missing in zip(rows, why, strict=True):
                reasons[row] = missing
    for row, distribution in enumerate(distributions):
        total = distribution.size + distribution.nonfinite
        if distribution.size == 0:
            reasons[row] = dict.fromkeys(_NAMES, (NO_FINITE if total else EMPTY).reason)
        for name, count in (("count", total), ("nonfinite_count", distribution.nonfinite)):
            table[row, _NAMES.index(name)] = count
            reasons[row].pop(name, None)
    return table, reasons


def _keep_freed_memory() -> None:
    """Lets glibc reuse what the hundred arrays of each batch free instead of unmapping it.

    Its thresholds follow the largest block freed so far; page faults cost a third of the time
    otherwise. Nothing is touched here, so this costs microseconds, and elsewhere it does nothing.
    """
    np.empty(_FREED_BYTES, dtype=np.uint8)


def element_statistics(distribution: Distribution) -> dict[str, Value]:
    """Every statistic of ``Family.ELEMENTS`` of one tensor: a finite float64, or why not."""
    [row], [reasons] = element_table([distribution])
    return {
        name: NoValue(reasons[name]) if name in reasons else value
        for name, value in zip(_NAMES, row.tolist(), strict=True)
    }


def _groups(distributions: Sequence[Distribution]) -> Iterator[list[int]]:
    """Rows that are measured together: of one kind, and few enough entries."""
    groups: dict[tuple[Kind, bool], list[int]] = {}
    for row, distribution in enumerate(distributions):
        if distribution.size:
            groups.setdefault(group_of(distribution), []).append(row)
    for rows in groups.values():
        entries = np.cumsum([distributions[row].values.size for row in rows])
        batch = (entries - 1) // _ENTRIES_AT_ONCE
        cuts = np.flatnonzero(np.diff(batch)) + 1
        yield from (part.tolist() for part in np.split(np.array(rows), cuts))


def _measure(tensors: Stack) -> tuple[NDArray[np.float64], list[dict[str, str]]]:
    columns = Columns(tensors.lengths.size)
    about = stacked_moments(tensors)
    columns.put(dict.fromkeys(("count", "nonfinite_count"), np.zeros(tensors.lengths.size)))
    _levels(tensors, about, columns)
    quantiles = dict(
        zip(_QUANTILES, tensors.quantiles(np.array([*_QUANTILES.values()])).T, strict=True)
    )
    columns.put({name: tensors.in_own_unit(value) for name, value in quantiles.items()})
    _withhold_without_spread(tensors, about, columns)
    _spread(tensors, about, quantiles, columns)
    _magnitudes(tensors, columns)
    _shape(tensors, about, quantiles["quantile_p50"], columns)
    return columns.table(_NAMES)


def _levels(tensors: Stack, about: StackedMoments, columns: Columns) -> None:
    last = tensors.starts + tensors.lengths - 1
    root = np.sqrt(tensors.sizes)
    in_units = {
        "mean": about.mean,
        "std": about.std,
        "rms": about.rms,
        "l1_norm": about.l1_norm,
        "l2_norm": about.l2_norm,
        "min": tensors.values[tensors.starts],
        "max": tensors.values[last],
    }
    zeros = np.where(tensors.values == 0.0, tensors.counts, 0.0)
    hoyer = (root - about.l1_norm / about.l2_norm) / (root - 1.0)
    columns.put({name: tensors.in_own_unit(value) for name, value in in_units.items()})
    columns.put({"zero_share": tensors.total(zeros) / tensors.sizes})
    columns.put({"hoyer_sparsity": np.clip(hoyer, 0.0, 1.0)})
    columns.withhold(["hoyer_sparsity"], about.l2_norm == 0.0, ALL_ZERO)
    columns.withhold(["hoyer_sparsity"], tensors.sizes == 1, SINGLE)


def _withhold_without_spread(tensors: Stack, about: StackedMoments, columns: Columns) -> None:
    """What the number grid does not let be seen, and what is not there."""
    steps = _in_steps(tensors, about.std)
    coarse = steps < RESOLVED_STEPS
    if tensors.kind is Kind.ROUNDED:
        columns.withhold(("std", *_SPREAD, *_CLASS), coarse, UNRESOLVED)
    columns.withhold(_SPREAD, about.std == 0.0, ALL_EQUAL)
    columns.withhold(_DIP, coarse, UNRESOLVED)
    many = tensors.lengths >= DISTINCT_VALUES
    columns.withhold(_CLASS, (steps < CLASS_STEPS) & many, UNRESOLVED)


def _in_steps(tensors: Stack, width: Floats) -> Floats:
    """A width in steps of the number grid at the median; infinite where that has none."""
    if tensors.kind is Kind.EXACT:
        return np.full(tensors.sizes.size, np.inf)
    middle = tensors.through.searchsorted((tensors.sizes - 1) // 2 + tensors.before, side="right")
    step = tensors.high[middle] - tensors.low[middle]
    return np.where(step == 0.0, np.inf, width / step)


def _spread(
    tensors: Stack, about: StackedMoments, quantiles: dict[str, Floats], columns: Columns
) -> None:
    bounds = about.std[:, None] * np.array([*_NEAR_ZERO.values()])
    near_zero = tensors.between(-bounds, bounds, closed=False) / tensors.sizes[:, None]
    median = quantiles["quantile_p50"]
    shifts = [np.abs(quantiles[low] + quantiles[high] - 2.0 * median) for low, high in _PAIRS]
    columns.put(dict(zip(_NEAR_ZERO, near_zero.T, strict=True)))
    columns.put(
        {
            "skewness": about.skewness,
            "excess_kurtosis": about.excess_kurtosis,
            "mean_to_std": np.abs(about.mean) / about.std,
            "asymmetry": np.maximum.reduce(shifts) / about.std,
            "gaussian_ks_distance": ks_distances(tensors, about),
            "gaussian_js_divergence": js_divergences(tensors, about),
        }
    )


def _magnitudes(tensors: Stack, columns: Columns) -> None:
    sizes, zero = tensors.sizes, np.zeros(tensors.sizes.size)
    positions = (sizes - 1)[:, None] * np.array([*_MAGNITUDE_QUANTILES.values()])
    magnitudes: Expanded | Folded
    if tensors.small:
        magnitudes = expand(tensors, zero)
        fit = weibull_of_elements(magnitudes)
    else:
        first = fitted_ranks(sizes)[0] - np.float64(1.0)
        last = np.minimum(np.floor(positions[:, -1]) + 1.0, sizes - np.float64(1.0))
        magnitudes = fold(tensors, zero, first=first, last=last)
        fit = weibull(magnitudes, sizes)
    quantiles = tensors.in_own_unit(magnitudes.at_positions(positions))
    columns.put(dict(zip(_MAGNITUDE_QUANTILES, quantiles.T, strict=True)))
    columns.put({"weibull_shape": fit.shape, "weibull_scale": tensors.in_own_unit(fit.scale)})
    columns.withhold(_WEIBULL, fit.has_zeros, ZEROS_FITTED)
    columns.withhold(_WEIBULL, fit.all_equal, ONE_MAGNITUDE)


def _shape(tensors: Stack, about: StackedMoments, median: Floats, columns: Columns) -> None:
    fit = body(tensors, median)
    dip, dip_ratio = stacked_dips(tensors)
    columns.put(
        {
            "dip": dip,
            "dip_ratio": dip_ratio,
            "outlier_share": fit.outlier_share,
            "truncation_ratio": fit.truncation_ratio,
            "body_std": tensors.in_own_unit(fit.std),
        }
    )
    columns.withhold(_BODY, fit.deviation == 0.0, HALF_EQUAL)
    if tensors.kind is Kind.ROUNDED:
        coarse = _in_steps(tensors, fit.deviation) < RESOLVED_STEPS
        columns.withhold(_BODY, coarse, UNRESOLVED)
    lost = (fit.deviation > 0.0) & (fit.deviation < _SMALLEST_DEVIATION)
    columns.withhold((*_DIP, *_BODY, *_WEIBULL, *_CLASS), lost, TOO_WIDE)
    columns.withhold(["body_std"], fit.truncation_ratio == 0.0, FLAT_BODY)
    measures = Measures(
        skewness=about.skewness,
        excess_kurtosis=about.excess_kurtosis,
        gaussian_ks_distance=columns["gaussian_ks_distance"],
        dip_ratio=dip_ratio,
        std=about.std,
        median=median,
        deviation=fit.deviation,
    )
    columns.put(dict(zip(_CLASS, shape_classes(tensors, measures), strict=True)))
