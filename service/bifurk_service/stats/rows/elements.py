"""Rows of the table: statistics of a tensor's elements whatever their places."""

from __future__ import annotations

from typing import Final

from bifurk_service.stats.statistic import Family, Nature, Statistic

SHAPE_CLASSES: Final = (
    "degenerate",
    "multimodal",
    "gaussian",
    "scale_mixture",
    "laplace_like",
    "flat",
    "other",
)
"""What ``shape_class`` counts; tried in this order."""


def _quantile(name: str, probability: str, of: str = "w") -> Statistic:
    return Statistic(
        name=name,
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula=f"quantile {probability} of {of}",
        meaning=f"the value that a share {probability} of {of} lies below",
        poolable=True,
    )


ELEMENT_ROWS: Final[tuple[Statistic, ...]] = (
    Statistic(
        name="count",
        family=Family.ELEMENTS,
        nature=Nature.BOUNDED,
        unit="count",
        formula="n",
        meaning="number of elements, finite or not",
        poolable=True,
    ),
    Statistic(
        name="nonfinite_count",
        family=Family.ELEMENTS,
        nature=Nature.BOUNDED,
        unit="count",
        formula="#(NaN) + #(+-inf)",
        meaning="elements that are NaN or infinite; all other statistics leave them out",
        metric="weight_nonfinite",
        poolable=True,
    ),
    Statistic(
        name="zero_share",
        family=Family.ELEMENTS,
        nature=Nature.BOUNDED,
        unit="1",
        formula="#(w = 0) / n",
        meaning="share of exact zeros, -0 included",
        poolable=True,
    ),
    Statistic(
        name="near_zero_mass_0_01",
        family=Family.ELEMENTS,
        nature=Nature.BOUNDED,
        unit="1",
        formula="P(|w| < 0.01 std)",
        meaning="share of values within a hundredth of a standard deviation of zero",
    ),
    Statistic(
        name="near_zero_mass_0_1",
        family=Family.ELEMENTS,
        nature=Nature.BOUNDED,
        unit="1",
        formula="P(|w| < 0.1 std)",
        meaning="share of values within a tenth of a standard deviation of zero (Gaussian 0.0797)",
    ),
    Statistic(
        name="mean",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="mean(w)",
        meaning="average",
        poolable=True,
    ),
    Statistic(
        name="std",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="sqrt(mean((w - mean)^2))",
        meaning="population standard deviation",
        log_scale=True,
        metric="weight_std",
        poolable=True,
    ),
    Statistic(
        name="skewness",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="mean((w - mean)^3) / std^3",
        meaning="asymmetry; 0 for a symmetric distribution",
    ),
    Statistic(
        name="excess_kurtosis",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="mean((w - mean)^4) / std^4 - 3",
        meaning="weight of the tails; 0 for a Gaussian",
        metric="weight_excess_kurtosis",
    ),
    Statistic(
        name="min",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="min(w)",
        meaning="smallest value",
        poolable=True,
    ),
    Statistic(
        name="max",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="max(w)",
        meaning="largest value",
        poolable=True,
    ),
    Statistic(
        name="l1_norm",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="sum |w|",
        meaning="sum of magnitudes",
        log_scale=True,
        poolable=True,
    ),
    Statistic(
        name="l2_norm",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="sqrt(sum w^2)",
        meaning="Euclidean (Frobenius) norm",
        log_scale=True,
        poolable=True,
    ),
    Statistic(
        name="rms",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="sqrt(mean(w^2))",
        meaning="root mean square",
        log_scale=True,
        poolable=True,
    ),
    _quantile("quantile_p0_1", "0.001"),
    _quantile("quantile_p1", "0.01"),
    _quantile("quantile_p5", "0.05"),
    _quantile("quantile_p25", "0.25"),
    _quantile("quantile_p50", "0.5"),
    _quantile("quantile_p75", "0.75"),
    _quantile("quantile_p95", "0.95"),
    _quantile("quantile_p99", "0.99"),
    _quantile("quantile_p99_9", "0.999"),
    _quantile("abs_quantile_p50", "0.5", "|w|"),
    _quantile("abs_quantile_p99", "0.99", "|w|"),
    Statistic(
        name="gaussian_ks_distance",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="max |F(w) - Phi((w - mean)/std)|",
        meaning="largest gap to the fitted Gaussian's distribution function; an effect size",
    ),
    Statistic(
        name="dip",
        family=Family.ELEMENTS,
        nature=Nature.BOUNDED,
        unit="1",
        formula="Hartigan's dip of all values, of 2,000 interpolated quantiles where n > 2,000",
        meaning="distance to the nearest unimodal distribution function",
        source="Hartigan and Hartigan 1985; sampling ours",
    ),
    Statistic(
        name="dip_ratio",
        family=Family.ELEMENTS,
        nature=Nature.BOUNDED,
        unit="1",
        formula="dip / max(0.0025, 0.75/sqrt(n))",
        meaning="the dip over its threshold; above 1 the density has more than one mode",
        source="definition ours",
    ),
    Statistic(
        name="mean_to_std",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="|mean| / std",
        meaning="distance of the mean from zero; trained weights stay near 0",
        source="Si, Jiang and Shen 2025 (arXiv 2501.10661); definition ours",
    ),
    Statistic(
        name="asymmetry",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="max over p in {0.001, 0.01, 0.05, 0.25} of |q_p + q_(1-p) - 2 median| / std",
        meaning="how far the quantiles are from lying symmetrically about the median",
        source="Si, Jiang and Shen 2025 (arXiv 2501.10661); definition ours",
    ),
    Statistic(
        name="hoyer_sparsity",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="(sqrt(n) - L1/L2) / (sqrt(n) - 1)",
        meaning=(
            "0 where all magnitudes are equal, 1 where a single element is not zero "
            "(Gaussian 0.202 for large n)"
        ),
        source="Hoyer 2004",
    ),
    Statistic(
        name="gaussian_js_divergence",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="nats",
        formula=(
            "Jensen-Shannon divergence of the shares in 128 cells that the fitted Gaussian "
            "holds equally often"
        ),
        meaning=(
            "distance to the fitted Gaussian over the whole range, at most ln 2; an effect size"
        ),
        source="Lin 1991; cells ours",
    ),
    Statistic(
        name="outlier_share",
        family=Family.ELEMENTS,
        nature=Nature.BOUNDED,
        unit="1",
        formula="P(|w - median| > 6 s), s = 1.4826 MAD",
        meaning="share of values far outside the body (Gaussian 2e-9)",
        source="Si, Jiang and Shen 2025 (arXiv 2501.10661); definition ours",
    ),
    Statistic(
        name="truncation_ratio",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="1",
        formula=(
            "a / sigma_body: body |w - median| <= 6 s as a normal about the median truncated at "
            "its own largest deviation a, of the body's mean square deviation"
        ),
        meaning=(
            "where the body is cut off, in standard deviations of the normal it is cut "
            "from; 0 where it is as flat as a uniform"
        ),
        source="Si, Jiang and Shen 2025 (arXiv 2501.10661); definition ours",
    ),
    Statistic(
        name="body_std",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="sigma_body of the truncated normal",
        meaning="spread of the body without outliers; of the normal before truncation",
        source="Si, Jiang and Shen 2025 (arXiv 2501.10661); definition ours",
        log_scale=True,
    ),
    Statistic(
        name="weibull_shape",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="k: slope of ln(-ln(1 - F)) against ln |w| for 0.1 <= F <= 0.9, F = (i - 1/2)/n",
        meaning="shape of the magnitudes: half-normal 1.2054, Laplace 1.000, uniform 1.372",
        source="Ding 2026 (arXiv 2605.18898)",
    ),
    Statistic(
        name="weibull_scale",
        family=Family.ELEMENTS,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="lambda = exp(-intercept/k) of the same regression",
        meaning="scale of the magnitudes: half-normal 0.8875 sigma",
        source="Ding 2026 (arXiv 2605.18898)",
        log_scale=True,
    ),
    Statistic(
        name="shape_class",
        family=Family.ELEMENTS,
        nature=Nature.CLASS,
        unit="class",
        formula=(
            "the first that holds of: degenerate, multimodal, gaussian, scale_mixture, "
            "laplace_like, flat, other"
        ),
        meaning="what kind of distribution it is; see docs/methods/shape.md",
        source="Si, Jiang and Shen 2025 (arXiv 2501.10661); definition ours",
        labels=SHAPE_CLASSES,
    ),
    Statistic(
        name="shape_margin",
        family=Family.ELEMENTS,
        nature=Nature.BOUNDED,
        unit="1",
        formula=(
            "distance to the nearest boundary of the class, in units of that boundary's threshold"
        ),
        meaning="how sure the class is: near 0 it may change with the next snapshot",
        source="definition ours",
    ),
)
