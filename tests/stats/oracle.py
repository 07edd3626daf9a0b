"""What every statistic should be: numpy and scipy in float64 on the weights themselves."""

from __future__ import annotations

import diptest
import numpy as np
import scipy.stats
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QUANTILES = {
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


def expected_elements(weights: Floats) -> dict[str, float]:
    """Element statistics of finite weights that are not all equal; without the dip."""
    w = weights.reshape(-1)
    std = np.std(w)
    expected = {
        "count": w.size,
        "nonfinite_count": 0,
        "zero_share": np.mean(w == 0),
        "near_zero_mass_0_01": np.mean(np.abs(w) < 0.01 * std),
        "near_zero_mass_0_1": np.mean(np.abs(w) < 0.1 * std),
        "mean": np.mean(w),
        "std": std,
        "skewness": scipy.stats.skew(w),
        "excess_kurtosis": scipy.stats.kurtosis(w),
        "min": np.min(w),
        "max": np.max(w),
        "l1_norm": np.linalg.norm(w, 1),
        "l2_norm": np.linalg.norm(w),
        "rms": np.sqrt(np.mean(w**2)),
        "abs_quantile_p50": np.quantile(np.abs(w), 0.5),
        "abs_quantile_p99": np.quantile(np.abs(w), 0.99),
        "gaussian_ks_distance": scipy.stats.kstest(w, "norm", args=(np.mean(w), std)).statistic,
        **{name: np.quantile(w, p) for name, p in QUANTILES.items()},
    }
    return {name: float(value) for name, value in expected.items()}


def expected_dip(weights: Floats) -> float:
    """The dip of weights that lie on no 16-bit grid, as the registry defines it."""
    w = weights.reshape(-1)
    points = w if w.size <= 2_000 else np.quantile(w, (np.arange(2_000) + 0.5) / 2_000)
    return float(diptest.dipstat(points, allow_zero=False))


def expected_motion(now: Floats, previous: Floats, first: Floats, steps: int) -> dict[str, float]:
    """Motion statistics of finite weights."""
    now, previous, first = now.reshape(-1), previous.reshape(-1), first.reshape(-1)
    rms = np.sqrt(np.mean(now**2))
    raw = np.sqrt(np.mean((now - previous) ** 2)) / rms
    expected = {
        "update_ratio": raw / np.sqrt(steps),
        "update_ratio_raw": raw,
        "distance_to_first": np.sqrt(np.mean((now - first) ** 2)) / rms,
        "cosine_to_first": now @ first / (np.linalg.norm(now) * np.linalg.norm(first)),
        "std_ratio_to_first": np.std(now) / np.std(first),
        "unmoved_share": np.mean(now == previous),
    }
    return {name: float(value) for name, value in expected.items()}


def expected_spectrum(weights: Floats) -> dict[str, float]:
    """Spectrum statistics of a finite tensor of at least two dimensions."""
    singular = np.linalg.svd(weights.reshape(weights.shape[0], -1), compute_uv=False)
    share = singular / np.sum(singular)
    return {
        "spectral_norm": float(singular[0]),
        "stable_rank": float(np.sum(singular**2) / singular[0] ** 2),
        "effective_rank": float(np.exp(scipy.stats.entropy(share))),
    }
