"""Rows of the table: the singular spectrum of one matrix against random-matrix theory."""

from __future__ import annotations

from typing import Final

from bifurk_service.stats.statistic import Family, Nature, Statistic

SPECTRUM_ROWS: Final[tuple[Statistic, ...]] = (
    Statistic(
        name="spectral_norm",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="largest singular value",
        meaning="largest gain of the matrix",
        log_scale=True,
    ),
    Statistic(
        name="stable_rank",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="|W|_F^2 / |W|_2^2",
        meaning="how many directions carry the matrix's energy",
        log_scale=True,
        metric="stable_rank",
    ),
    Statistic(
        name="effective_rank",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="exp(-sum p_i ln p_i), p_i = v_i / sum v",
        meaning="exponential of the entropy of the singular values",
        source="Roy and Vetterli 2007",
        log_scale=True,
    ),
    Statistic(
        name="condition_number",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="largest / smallest singular value",
        meaning="how unevenly the matrix stretches",
        log_scale=True,
    ),
    Statistic(
        name="mp_soft_rank",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="v_max^2 / v_1^2: upper edge of the fitted bulk over largest value, squared",
        meaning=(
            "1 where the spectrum ends at the edge of noise, small where one direction dominates"
        ),
        source="Martin and Mahoney 2021 (arXiv 1810.01075)",
        log_scale=True,
        definition_version=2,
    ),
    Statistic(
        name="mp_sigma",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="weight",
        formula="entry standard deviation of the fitted Marchenko-Pastur bulk of W",
        meaning="spread of the random part of the matrix",
        source="Staats, Thamm and Rosenow 2024 (arXiv 2410.17770); fit ours",
        log_scale=True,
        definition_version=2,
    ),
    Statistic(
        name="mp_ks_distance",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="max |F(v) - F_MP(v)| over the bulk of the biwhitened matrix",
        meaning="distance of the bulk to that of random entries; 3/p to 5/p when they are",
        source=(
            "Staats, Thamm and Rosenow 2024 (arXiv 2410.17770); biwhitening Landa, Zhang "
            "and Kluger 2022"
        ),
        definition_version=2,
    ),
    Statistic(
        name="mp_ks_ratio",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="mp_ks_distance / its 99 % point for Gaussian matrices of this size (simulated)",
        meaning=(
            "above 1 the bulk itself is not that of Gaussian entries; heavy-tailed entries "
            "alone bring 1.5"
        ),
        source="definition ours",
        log_scale=True,
        definition_version=2,
    ),
    Statistic(
        name="spectrum_outliers_raw",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="count",
        formula="#(singular values of W beyond the upper edge, Tracy-Widom 0.25 %)",
        meaning="also crossed by heavy tails and uneven rows: read spectrum_outliers",
        source="Staats, Thamm and Rosenow 2024 (arXiv 2410.17770)",
        definition_version=2,
    ),
    Statistic(
        name="spectrum_outliers",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="count",
        formula="#(singular values of the biwhitened W beyond the upper edge, Tracy-Widom 0.25 %)",
        meaning="directions that random entries of any row and column scales do not have",
        source="Landa, Zhang and Kluger 2022 (arXiv 2103.13840); Johnstone 2001",
        metric="spectrum_outliers",
        definition_version=2,
    ),
    Statistic(
        name="spectrum_outliers_below",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="count",
        formula="#(singular values of the biwhitened W below the lower edge, Tracy-Widom 0.25 %)",
        meaning="directions weaker than random entries have; none told where p/n > 0.9",
        source="Landa, Zhang and Kluger 2022 (arXiv 2103.13840); Johnstone 2001",
        definition_version=2,
    ),
    Statistic(
        name="outlier_strength",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="largest singular value of the biwhitened W / upper edge, Tracy-Widom 0.25 %",
        meaning="above 1 where there is an outlier, and how far",
        source="definition ours",
        log_scale=True,
        definition_version=2,
    ),
    Statistic(
        name="outlier_participation",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula=(
            "smaller participation ratio 1/(m sum u^4) of the two vectors (of length m) of "
            "the largest biwhitened singular value"
        ),
        meaning="near 1/3 spread over all rows and columns, near 0 in a few of them",
        source="definition ours",
        definition_version=2,
    ),
    Statistic(
        name="outlier_constant_overlap",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="larger |<u, 1>|/sqrt(m) of the two vectors of the largest singular value of W",
        meaning="near 1 the largest direction is a shared offset (the mean) of rows or columns",
        source="definition ours",
    ),
    Statistic(
        name="power_law_alpha",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula=(
            "exponent of the density of the eigenvalues v^2 above x_min; x_min of least KS distance"
        ),
        meaning=(
            "heaviness of the spectrum's tail; withheld under 50 tail points or where the fit fails"
        ),
        source="Clauset, Shalizi and Newman 2009; Martin and Mahoney 2021",
    ),
    Statistic(
        name="power_law_xmin",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="weight^2",
        formula="x_min of that fit",
        meaning="eigenvalue from which on the tail is fitted",
        source="Clauset, Shalizi and Newman 2009",
        log_scale=True,
    ),
    Statistic(
        name="power_law_ks_distance",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="D of that fit",
        meaning="distance of the tail to the fitted power law; above 0.1 alpha means little",
        source="Clauset, Shalizi and Newman 2009",
    ),
    Statistic(
        name="power_law_tail_count",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="count",
        formula="number of eigenvalues from x_min on",
        meaning="how many points the exponent rests on",
        source="Clauset, Shalizi and Newman 2009",
    ),
    Statistic(
        name="top_vector_normality",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula=(
            "largest KS distance of sqrt(p) u to N(0, 1) over the top min(16, p/8) singular "
            "vectors along the shorter side, times sqrt(p); p > 200"
        ),
        meaning=(
            "above 2 the leading directions are not random ones (Porter-Thomas; 1 % of the "
            "largest of 16); on a slower schedule"
        ),
        source="Staats, Thamm and Rosenow 2024 (arXiv 2410.17770)",
    ),
    Statistic(
        name="bottom_vector_normality",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula="the same over the bottom singular vectors",
        meaning="above 2 the weakest directions are not random ones; on a slower schedule",
        source="Staats, Thamm and Rosenow 2024 (arXiv 2410.17770)",
    ),
    Statistic(
        name="subspace_overlap_to_first",
        family=Family.SPECTRUM,
        nature=Nature.INTEGRATED,
        unit="1",
        formula=(
            "mean squared cosine of the principal angles between the spaces of the top "
            "min(16, p/8) singular vectors along the shorter side, now and at the first snapshot"
        ),
        meaning="1 the same leading subspace, 16/p of unrelated ones; on a slower schedule",
        source="Golub and Van Loan 2013, section 6.4",
    ),
)
