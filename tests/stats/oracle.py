"""What every statistic should be: numpy and scipy in float64 on the weights themselves."""

from __future__ import annotations

import diptest
import numpy as np
import scipy.optimize
import scipy.spatial.distance
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
    """Every motion statistic of finite weights, all of which are compared."""
    now, previous, first = now.reshape(-1), previous.reshape(-1), first.reshape(-1)
    rms = np.sqrt(np.mean(now**2))
    raw = np.sqrt(np.mean((now - previous) ** 2)) / rms
    paths = (now != 0) & (previous != 0)
    growth = np.log(np.abs(now[paths])) - np.log(np.abs(previous[paths]))
    expected = {
        "update_ratio": raw / np.sqrt(steps),
        "update_ratio_raw": raw,
        "distance_to_first": np.sqrt(np.mean((now - first) ** 2)) / rms,
        "cosine_to_first": now @ first / (np.linalg.norm(now) * np.linalg.norm(first)),
        "std_ratio_to_first": np.std(now) / np.std(first),
        "unmoved_share": np.mean(now == previous),
        "update_ratio_stderr": 0.0,
        "distance_to_first_stderr": 0.0,
        "cosine_to_first_stderr": 0.0,
        "std_ratio_to_first_stderr": 0.0,
        "displacement_std": np.std(now - first),
        "sign_flip_share": np.mean(now * previous < 0),
        "sign_flip_share_to_first": np.mean(now * first < 0),
        "dying_share": np.mean(np.abs(now) < 0.05 * np.std(first)),
        "growing_share": np.mean(np.abs(now) > 3 * np.std(first)),
        "path_flow": np.median(growth) / np.sqrt(steps),
        "path_dip_ratio": expected_path_dip_ratio(now, first),
    }
    return {name: float(value) for name, value in expected.items()}


def expected_path_dip_ratio(now: Floats, first: Floats) -> float:
    """From at most 512 quantiles of the magnitudes that are not zero, ties spread out."""
    sizes, counts = np.unique(np.abs(now[now != 0]), return_counts=True)
    total = np.sum(counts)
    points = min(int(total), 512)
    middles = (np.cumsum(counts) - counts / 2) / total
    quantiles = np.interp((np.arange(points) + 0.5) / points, middles, sizes)
    distance = diptest.dipstat(np.log(quantiles / np.std(first)), allow_zero=False)
    return float(distance / max(0.0025, 0.75 / np.sqrt(total)))


def expected_spectrum(weights: Floats) -> dict[str, float]:
    """Spectrum statistics of a finite tensor of at least two dimensions."""
    singular = np.linalg.svd(weights.reshape(weights.shape[0], -1), compute_uv=False)
    share = singular / np.sum(singular)
    return {
        "spectral_norm": float(singular[0]),
        "stable_rank": float(np.sum(singular**2) / singular[0] ** 2),
        "effective_rank": float(np.exp(scipy.stats.entropy(share))),
    }


def expected_shape(weights: Floats) -> dict[str, float]:
    """Symmetry, sparsity, body and Weibull fit of finite weights of some spread, no zero among
    the middle magnitudes; by sorting, and by solving for the truncated normal with brentq."""
    w = weights.reshape(-1)
    std, median = np.std(w), np.median(w)
    pairs = [np.quantile(w, p) + np.quantile(w, 1 - p) for p in (0.001, 0.01, 0.05, 0.25)]
    deviation = np.abs(w - median)
    body = deviation[deviation <= 6 * 1.4826 * np.median(deviation)]
    ratio = _truncation_ratio(np.mean(body**2) / np.max(body) ** 2)
    shape, scale = expected_weibull(w)
    expected = {
        "mean_to_std": abs(np.mean(w)) / std,
        "asymmetry": max(abs(pair - 2 * median) for pair in pairs) / std,
        "hoyer_sparsity": (np.sqrt(w.size) - np.sum(np.abs(w)) / np.linalg.norm(w))
        / (np.sqrt(w.size) - 1),
        "outlier_share": 1 - body.size / w.size,
        "truncation_ratio": ratio,
        "body_std": np.max(body) / ratio if ratio else np.inf,
        "weibull_shape": shape,
        "weibull_scale": scale,
    }
    return {name: float(value) for name, value in expected.items()}


def expected_weibull(weights: Floats) -> tuple[float, float]:
    """Shape and scale by ordinary regression on all order statistics of the middle 80 %."""
    magnitudes = np.sort(np.abs(weights.reshape(-1)))
    share = (np.arange(1, magnitudes.size + 1) - 0.5) / magnitudes.size
    middle = (share >= 0.1) & (share <= 0.9)
    line = scipy.stats.linregress(np.log(magnitudes[middle]), np.log(-np.log1p(-share[middle])))
    return float(line.slope), float(np.exp(-line.intercept / line.slope))


def expected_js_divergence(weights: Floats, cells: int = 128) -> float:
    """Jensen-Shannon divergence from the fitted Gaussian over its equally likely cells, nats."""
    w = weights.reshape(-1)
    edges = scipy.stats.norm.ppf(np.arange(1, cells) / cells, np.mean(w), np.std(w))
    share = np.histogram(w, np.concatenate([[-np.inf], edges, [np.inf]]))[0] / w.size
    return float(scipy.spatial.distance.jensenshannon(share, np.full(cells, 1 / cells)) ** 2)


def _truncation_ratio(mean_square: float) -> float:
    """The cut a / sigma at which a normal on [-a, a] has this variance over a^2."""
    if mean_square >= 1 / 3:
        return 0.0

    def excess(ratio: float) -> float:
        return float(scipy.stats.truncnorm.var(-ratio, ratio)) / ratio**2 - mean_square

    return float(scipy.optimize.brentq(excess, 1e-2, 1e3, xtol=1e-13))
