"""Rows of the table: how far a tensor's elements moved."""

from __future__ import annotations

from typing import Final

from bifurk_service.stats.statistic import Family, Nature, Statistic

MOTION_ROWS: Final[tuple[Statistic, ...]] = (
    Statistic(
        name="update_ratio",
        family=Family.MOTION,
        nature=Nature.STATIONARY,
        unit="1",
        formula="rms(w - w_previous) / rms(w) / sqrt(steps between)",
        meaning="relative movement since the last snapshot, per step as of a random walk",
        source="definition ours",
        log_scale=True,
        metric="update_ratio",
    ),
    Statistic(
        name="update_ratio_raw",
        family=Family.MOTION,
        nature=Nature.STATIONARY,
        unit="1",
        formula="rms(w - w_previous) / rms(w)",
        meaning="relative movement since the last snapshot",
        log_scale=True,
    ),
    Statistic(
        name="distance_to_first",
        family=Family.MOTION,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="rms(w - w_first) / rms(w)",
        meaning="relative movement since the first snapshot",
        log_scale=True,
    ),
    Statistic(
        name="cosine_to_first",
        family=Family.MOTION,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="<w, w_first> / (|w| |w_first|)",
        meaning="direction kept since the first snapshot",
    ),
    Statistic(
        name="std_ratio_to_first",
        family=Family.MOTION,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="std(w) / std(w_first)",
        meaning="growth of the spread since the first snapshot",
        log_scale=True,
    ),
    Statistic(
        name="unmoved_share",
        family=Family.MOTION,
        nature=Nature.BOUNDED,
        unit="1",
        formula="P(w = w_previous)",
        meaning="share of elements without any change since the last snapshot",
    ),
    Statistic(
        name="update_ratio_stderr",
        family=Family.MOTION,
        nature=Nature.STATIONARY,
        unit="1",
        formula="standard error of update_ratio over samples; 0 where every element is known",
        meaning="uncertainty of update_ratio",
        source="definition ours",
    ),
    Statistic(
        name="distance_to_first_stderr",
        family=Family.MOTION,
        nature=Nature.STATIONARY,
        unit="1",
        formula="standard error of distance_to_first over samples; 0 where every element is known",
        meaning="uncertainty of distance_to_first",
        source="definition ours",
    ),
    Statistic(
        name="cosine_to_first_stderr",
        family=Family.MOTION,
        nature=Nature.STATIONARY,
        unit="1",
        formula="standard error of cosine_to_first over samples; 0 where every element is known",
        meaning="uncertainty of cosine_to_first",
        source="definition ours",
    ),
    Statistic(
        name="std_ratio_to_first_stderr",
        family=Family.MOTION,
        nature=Nature.STATIONARY,
        unit="1",
        formula="standard error of std_ratio_to_first over samples; 0 where every element is known",
        meaning="uncertainty of std_ratio_to_first",
        source="definition ours",
    ),
    Statistic(
        name="displacement_std",
        family=Family.MOTION,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="std(w - w_first)",
        meaning="spread of what training has added to the weights",
        source="Si, Jiang and Shen 2025 (arXiv 2501.10661); definition ours",
        log_scale=True,
    ),
    Statistic(
        name="sign_flip_share",
        family=Family.MOTION,
        nature=Nature.BOUNDED,
        unit="1",
        formula="P(w w_previous < 0)",
        meaning="share of elements that changed sign since the last snapshot",
    ),
    Statistic(
        name="sign_flip_share_to_first",
        family=Family.MOTION,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="P(w w_first < 0)",
        meaning="share of elements whose sign is not the first snapshot's",
    ),
    Statistic(
        name="dying_share",
        family=Family.MOTION,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="P(|w| < 0.05 std(w_first))",
        meaning="share of paths near zero, measured by the first snapshot's spread",
        source="definition ours",
    ),
    Statistic(
        name="growing_share",
        family=Family.MOTION,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="P(|w| > 3 std(w_first))",
        meaning="share of paths far out, measured by the first snapshot's spread",
        source="definition ours",
    ),
    Statistic(
        name="path_flow",
        family=Family.MOTION,
        nature=Nature.STATIONARY,
        unit="1",
        formula=(
            "median of ln|w| - ln|w_previous| over elements that are zero in neither, / "
            "sqrt(steps between)"
        ),
        meaning="how fast magnitudes grow (above 0) or decay (below 0)",
        source="definition ours",
    ),
    Statistic(
        name="path_dip_ratio",
        family=Family.MOTION,
        nature=Nature.INTEGRATED,
        unit="1",
        formula=(
            "dip of ln(|w| / std(w_first)) over the n elements other than zero, / "
            "max(0.0025, 0.75/sqrt(n))"
        ),
        meaning="above 1 the paths have parted into some that grow and some that decay",
        source="Hartigan and Hartigan 1985; definition ours",
    ),
)
