"""The one table of statistics. Columns, REST, metrics, detectors and docs are derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Nature(StrEnum):
    """How a statistic moves when nothing happens; detectors choose their null by it."""

    INTEGRATED = "integrated"
    """Sums up updates, as weights do: a random walk is its healthy course."""
    STATIONARY = "stationary"
    """Returns to a level; neighbouring values are related."""
    BOUNDED = "bounded"
    """Lives in a fixed interval, or is a share."""


class Family(StrEnum):
    """What a statistic is computed from."""

    ELEMENTS = "elements"
    MOTION = "motion"
    SPECTRUM = "spectrum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """One row of the table.

    Attributes:
        name: column, REST and metric name; never reused for another meaning.
        formula: in plain text, w the values, n their number, p x q a matrix with p <= q.
        unit: ``weight`` (the weights' own), ``1`` (a ratio), ``count``, ``nats``.
        source: paper or "definition ours".
        definition_version: raised when numbers change; detectors then restart.
        log_scale: positive and multiplicative, so detectors work on its logarithm.
        metric: exported to Prometheus under ``bifurk_`` + this name, or not at all.
    """

    name: str
    family: Family
    nature: Nature
    unit: str
    formula: str
    meaning: str
    source: str = "standard"
    definition_version: int = 1
    log_scale: bool = False
    metric: str | None = None


_E, _M, _S = Family.ELEMENTS, Family.MOTION, Family.SPECTRUM
_INTEGRATED, _STATIONARY, _BOUNDED = Nature.INTEGRATED, Nature.STATIONARY, Nature.BOUNDED


def _quantile(name: str, probability: str, of: str = "w") -> Statistic:
    return Statistic(
        name=name,
        family=_E,
        nature=_INTEGRATED,
        unit="weight",
        formula=f"quantile {probability} of {of}",
        meaning=f"the value that a share {probability} of {of} lies below",
    )


STATISTICS: Final[tuple[Statistic, ...]] = (
    Statistic(
        name="count",
        family=_E,
        nature=_BOUNDED,
        unit="count",
        formula="n",
        meaning="number of elements, finite or not",
    ),
    Statistic(
        name="nonfinite_count",
        family=_E,
        nature=_BOUNDED,
        unit="count",
        formula="#(NaN) + #(+-inf)",
        meaning="elements that are NaN or infinite; all other statistics leave them out",
        metric="weight_nonfinite",
    ),
    Statistic(
        name="zero_share",
        family=_E,
        nature=_BOUNDED,
        unit="1",
        formula="#(w = 0) / n",
        meaning="share of exact zeros, -0 included",
    ),
    Statistic(
        name="near_zero_mass_0_01",
        family=_E,
        nature=_BOUNDED,
        unit="1",
        formula="P(|w| < 0.01 std)",
        meaning="share of values within a hundredth of a standard deviation of zero",
    ),
    Statistic(
        name="near_zero_mass_0_1",
        family=_E,
        nature=_BOUNDED,
        unit="1",
        formula="P(|w| < 0.1 std)",
        meaning="share of values within a tenth of a standard deviation of zero (Gaussian 0.0797)",
    ),
    Statistic(
        name="mean",
        family=_E,
        nature=_INTEGRATED,
        unit="weight",
        formula="mean(w)",
        meaning="average",
    ),
    Statistic(
        name="std",
        family=_E,
        nature=_INTEGRATED,
        unit="weight",
        formula="sqrt(mean((w - mean)^2))",
        meaning="population standard deviation",
        log_scale=True,
        metric="weight_std",
    ),
    Statistic(
        name="skewness",
        family=_E,
        nature=_INTEGRATED,
        unit="1",
        formula="mean((w - mean)^3) / std^3",
        meaning="asymmetry; 0 for a symmetric distribution",
    ),
    Statistic(
        name="excess_kurtosis",
        family=_E,
        nature=_INTEGRATED,
        unit="1",
        formula="mean((w - mean)^4) / std^4 - 3",
        meaning="weight of the tails; 0 for a Gaussian",
        metric="weight_excess_kurtosis",
    ),
    Statistic(
        name="min",
        family=_E,
        nature=_INTEGRATED,
        unit="weight",
        formula="min(w)",
        meaning="smallest value",
    ),
    Statistic(
        name="max",
        family=_E,
        nature=_INTEGRATED,
        unit="weight",
        formula="max(w)",
        meaning="largest value",
    ),
    Statistic(
        name="l1_norm",
        family=_E,
        nature=_INTEGRATED,
        unit="weight",
        formula="sum |w|",
        meaning="sum of magnitudes",
        log_scale=True,
    ),
    Statistic(
        name="l2_norm",
        family=_E,
        nature=_INTEGRATED,
        unit="weight",
        formula="sqrt(sum w^2)",
        meaning="Euclidean (Frobenius) norm",
        log_scale=True,
    ),
    Statistic(
        name="rms",
        family=_E,
        nature=_INTEGRATED,
        unit="weight",
        formula="sqrt(mean(w^2))",
        meaning="root mean square",
        log_scale=True,
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
        family=_E,
        nature=_INTEGRATED,
        unit="1",
        formula="max |F(w) - Phi((w - mean)/std)|",
        meaning="largest gap to the fitted Gaussian's distribution function; an effect size",
    ),
    Statistic(
        name="dip",
        family=_E,
        nature=_BOUNDED,
        unit="1",
        formula="Hartigan's dip of all values, of 2,000 interpolated quantiles where n > 2,000",
        meaning="distance to the nearest unimodal distribution function",
        source="Hartigan and Hartigan 1985; sampling ours",
    ),
    Statistic(
        name="dip_ratio",
        family=_E,
        nature=_BOUNDED,
        unit="1",
        formula="dip / max(0.0025, 0.75/sqrt(n))",
        meaning="the dip over its threshold; above 1 the density has more than one mode",
        source="definition ours",
    ),
    Statistic(
        name="update_ratio",
        family=_M,
        nature=_STATIONARY,
        unit="1",
        formula="rms(w - w_previous) / rms(w) / sqrt(steps between)",
        meaning="relative movement since the last snapshot, per step as of a random walk",
        source="definition ours",
        log_scale=True,
        metric="update_ratio",
    ),
    Statistic(
        name="update_ratio_raw",
        family=_M,
        nature=_STATIONARY,
        unit="1",
        formula="rms(w - w_previous) / rms(w)",
        meaning="relative movement since the last snapshot",
        log_scale=True,
    ),
    Statistic(
        name="distance_to_first",
        family=_M,
        nature=_INTEGRATED,
        unit="1",
        formula="rms(w - w_first) / rms(w)",
        meaning="relative movement since the first snapshot",
        log_scale=True,
    ),
    Statistic(
        name="cosine_to_first",
        family=_M,
        nature=_INTEGRATED,
        unit="1",
        formula="<w, w_first> / (|w| |w_first|)",
        meaning="direction kept since the first snapshot",
    ),
    Statistic(
        name="std_ratio_to_first",
        family=_M,
        nature=_INTEGRATED,
        unit="1",
        formula="std(w) / std(w_first)",
        meaning="growth of the spread since the first snapshot",
        log_scale=True,
    ),
    Statistic(
        name="unmoved_share",
        family=_M,
        nature=_BOUNDED,
        unit="1",
        formula="P(w = w_previous)",
        meaning="share of elements without any change since the last snapshot",
    ),
    Statistic(
        name="spectral_norm",
        family=_S,
        nature=_INTEGRATED,
        unit="weight",
        formula="largest singular value",
        meaning="largest gain of the matrix",
        log_scale=True,
    ),
    Statistic(
        name="stable_rank",
        family=_S,
        nature=_INTEGRATED,
        unit="1",
        formula="|W|_F^2 / |W|_2^2",
        meaning="how many directions carry the matrix's energy",
        log_scale=True,
        metric="stable_rank",
    ),
    Statistic(
        name="effective_rank",
        family=_S,
        nature=_INTEGRATED,
        unit="1",
        formula="exp(-sum p_i ln p_i), p_i = v_i / sum v",
        meaning="exponential of the entropy of the singular values",
        source="Roy and Vetterli 2007",
        log_scale=True,
    ),
)

BY_NAME: Final[dict[str, Statistic]] = {statistic.name: statistic for statistic in STATISTICS}
