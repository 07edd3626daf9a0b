"""The shapes of answers about a model across its layers."""

from __future__ import annotations

from pydantic import Field

from bifurk_service.api.comparison_shapes import SideAnswer
from bifurk_service.api.schemas import REDUCED, Shape


class DepthAnswer(Shape):
    """One statistic of one role, layer by layer."""

    role: str
    layers: list[int]
    values: list[float] = Field(description="The median over the tensors of each layer.")
    spearman: float | None = Field(description="Rank correlation with depth.")
    p_value: float | None = Field(description="Two-sided, of no relation with depth.")
    no_value: str | None = Field(description="Why there is no correlation, or null.")


class DriftAnswer(Shape):
    """How far the projections are from an earlier step's, or another run's; 0 where equal."""

    projection_std: float | None = Field(description="Distance of the normalised deviations.")
    composition: dict[int, float | None] = Field(
        description="By rank, the share of a role's matrices that is in other clusters."
    )
    moved: dict[int, float | None] = Field(
        description="By rank, the share of the matrices nearer to another centroid."
    )
    no_value: dict[str, str] = Field(description="Why there is none: `composition_16`, say.")


class ClustersAnswer(Shape):
    """Projections grouped by the shape of their leading singular values."""

    rank: int = Field(description="How many leading values are looked at.")
    names: list[str] = Field([], description="Of the matrices, sorted.")
    roles: list[str] = Field([], description="Of the matrices.")
    labels: list[int] = Field([], description="Each matrix's cluster; 0 is the largest.")
    kinds: list[str] = Field([], description="The roles there are.")
    composition: list[list[float]] = Field(
        [], description="A row a cluster, a column a kind; rows sum to 1."
    )
    explained: float | None = Field(None, description="Share of variance between clusters.")
    no_value: str | None = Field(None, description="Why there are none, or null.")


class TailAnswer(Shape):
    """A power law p(x) ~ x^-exponent from `start` on, or why there is none."""

    exponent: float | None = None
    stderr: float | None = None
    start: float | None = None
    size: int | None = None
    ks_distance: float | None = None
    no_value: str | None = None


class LeadingValuesAnswer(Shape):
    """The leading singular values of one role's matrices, compared between layers."""

    role: str
    names: list[str]
    layers: list[int]
    distances: list[list[float]] = Field(description="Cosine distances, symmetric.")
    mean_distance: float | None
    no_value: str | None = Field(description="Why there is no mean distance, or null.")
    value_tail: TailAnswer
    distance_tail: TailAnswer


class ProfileAnswer(Shape):
    """A model across its layers at one step."""

    step: int
    stat: str
    depth: list[DepthAnswer] = Field(description="`stat` by layer, a role an item.")
    projection_std: dict[str, float] = Field(description="By role, of Euclidean length 1.")
    clusters: list[ClustersAnswer]
    leading_values: list[LeadingValuesAnswer]
    first_step: int = Field(description="Of the run's first snapshot.")
    drift: DriftAnswer = Field(description="From the run's first snapshot.")
    against: SideAnswer | None = Field(description="The other run that was asked for.")
    against_drift: DriftAnswer | None = Field(description="From that run's step.")
    no_value: dict[str, str] = Field(description="Why a part of this is empty.")


class ProfileSeriesAnswer(Shape):
    """One statistic across layers over steps; null where it has no value."""

    name: str
    role: str = Field(description="Empty where it is of the whole model.")
    steps: list[int]
    values: list[float | None]
    reduced: bool = Field(description=REDUCED)
