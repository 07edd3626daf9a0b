"""The table of statistics across layers: of a role, or of the whole model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bifurk_service.stats.statistic import Nature


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileStatistic:
    """One row of the table; the words are those of ``Statistic``.

    Attributes:
        per_role: one value a role; otherwise one for the whole model, under the empty role.
    """

    name: str
    nature: Nature
    unit: str
    formula: str
    meaning: str
    source: str
    definition_version: int = 1
    per_role: bool = True


_GROWTH: Final = "Si, Jiang and Shen 2025 (arXiv 2501.10661); definition ours"
_WEIGHT: Final = "Ye, Tian, Gao and Li 2025 (arXiv 2509.19122); details ours"
_DISTANCES: Final = "Ye, Li and Xu 2025 (arXiv 2509.00046); details ours"

PROFILE_STATISTICS: Final[tuple[ProfileStatistic, ...]] = (
    ProfileStatistic(
        name="std_depth_correlation",
        nature=Nature.BOUNDED,
        unit="1",
        formula="Spearman correlation of std(w) with the layer's index, over layers",
        meaning="whether weights are wider in deep layers (1) or in early ones (-1)",
        source=_GROWTH,
    ),
    ProfileStatistic(
        name="std_growth_depth_correlation",
        nature=Nature.BOUNDED,
        unit="1",
        formula="Spearman correlation of std(w) / std(w_first) with the layer's index",
        meaning="whether training widens deep layers more (1) or early ones (-1)",
        source=_GROWTH,
    ),
    ProfileStatistic(
        name="displacement_depth_correlation",
        nature=Nature.BOUNDED,
        unit="1",
        formula="Spearman correlation of std(w - w_first) with the layer's index",
        meaning="whether training adds more to deep layers (1) or to early ones (-1)",
        source=_GROWTH,
    ),
    ProfileStatistic(
        name="projection_std",
        nature=Nature.INTEGRATED,
        unit="1",
        formula=(
            "median over layers of std(w) of Q, K, V, O, Gate, Up, Down; of Euclidean length 1 "
            "over those there are"
        ),
        meaning="how wide this kind of projection is beside the others; a common scale cancels",
        source=_WEIGHT,
    ),
    ProfileStatistic(
        name="projection_std_drift",
        nature=Nature.INTEGRATED,
        unit="1",
        formula="Euclidean distance of the projections' normalised std to the first snapshot's",
        meaning="how far the widths have shifted between kinds; in fine-tuning it follows the data",
        source=_WEIGHT,
        per_role=False,
    ),
    ProfileStatistic(
        name="spectral_cluster_drift_16",
        nature=Nature.BOUNDED,
        unit="1",
        formula=(
            "mean over kinds of projection of the share that is in other clusters than at the "
            "first snapshot; K-means of that snapshot's 16 leading singular values"
        ),
        meaning=(
            "how far the kinds of spectra have been rearranged; in fine-tuning it stays near 0, "
            "and leaving it is the graver sign"
        ),
        source=_WEIGHT,
        per_role=False,
    ),
    ProfileStatistic(
        name="spectral_cluster_drift_64",
        nature=Nature.BOUNDED,
        unit="1",
        formula="the same of 64 leading singular values",
        meaning="the same, looking further into the spectrum",
        source=_WEIGHT,
        per_role=False,
    ),
    ProfileStatistic(
        name="leading_value_distance",
        nature=Nature.INTEGRATED,
        unit="1",
        formula="mean over pairs of layers of 1 - cosine of their 16 leading singular values",
        meaning="how unlike the layers' leading spectra are in shape; 0 where they are alike",
        source=_DISTANCES,
    ),
    ProfileStatistic(
        name="leading_value_tail_exponent",
        nature=Nature.INTEGRATED,
        unit="1",
        formula=(
            "exponent of the density's tail of the layers' 64 leading singular values, each "
            "layer's over their rms; start of least KS distance"
        ),
        meaning="small where single directions dominate; withheld where there is no power law",
        source="Clauset, Shalizi and Newman 2009; definition ours",
    ),
    ProfileStatistic(
        name="leading_distance_tail_exponent",
        nature=Nature.INTEGRATED,
        unit="1",
        formula="the same of the pairs' distances of leading_value_distance",
        meaning="small where a few layers differ much from the rest; needs 11 layers or more",
        source=_DISTANCES,
    ),
)
