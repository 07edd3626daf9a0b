"""The shapes of answers about stored distributions and spectra."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bifurk_service.api.schemas import Shape, TensorReference


class DensityAnswer(Shape):
    """How values are distributed: density over bins of equal width."""

    unit: str
    edges: list[float] = Field(description="B + 1 bin edges, ascending, in `unit`.")
    density: list[float] = Field(description="B densities; with the widths they sum to `covered`.")
    covered: float = Field(description="Share of the finite values that lies between the edges.")
    finite: int
    nonfinite: int
    zeros: int = Field(description="Exact zeros among the finite; with `log_magnitude` nowhere.")
    exact: bool = Field(
        description="Whether the values are known; else each is spread over what rounds to it."
    )
    no_value: str | None = Field(
        description="Why there is nothing to draw (`edges` and `density` are empty then), or null."
    )


class DistributionAnswer(DensityAnswer):
    """How a tensor's values are distributed at one step."""

    tensor: TensorReference
    step: int


class DrawnAnswer(Shape):
    """What answers drawn from a tensor's stored distribution have in common."""

    tensor: TensorReference
    step: int
    finite: int
    nonfinite: int
    exact: bool = Field(
        description="Whether the values are known; else each is spread over what rounds to it."
    )
    no_value: str | None = Field(description="Why there is nothing to answer with, or null.")


class QuantilesAnswer(DrawnAnswer):
    """Quantiles of a tensor's finite values, linear between order statistics."""

    probabilities: list[float]
    values: list[float | None]


class ProbabilityAnswer(DrawnAnswer):
    """The share of a tensor's finite values in [low, high)."""

    unit: str
    low: float | None
    high: float | None
    probability: float | None


class DrawsAnswer(DrawnAnswer):
    """Independent draws from a tensor's finite values."""

    seed: int
    values: list[float]


class PooledAnswer(Shape):
    """Element statistics of several tensors' values together at one step."""

    step: int
    tensors: list[TensorReference] = Field(description="Those that went in.")
    not_carried: list[str] = Field(description="Those that match and are not in this snapshot.")
    values: dict[str, float | None]
    no_value: dict[str, str]


class PooledDistributionAnswer(DensityAnswer):
    """How several tensors' values together are distributed at one step."""

    step: int
    tensors: list[TensorReference] = Field(description="Those that went in.")
    not_carried: list[str] = Field(description="Those that match and are not in this snapshot.")


class CurveAnswer(Shape):
    """The Marchenko-Pastur density of the fitted bulk, per unit of the singular values."""

    sigma: float = Field(description="Entry standard deviation of the fit, in the weights' unit.")
    lower_edge: float
    upper_edge: float
    values: list[float]
    density: list[float]


class SpectrumAnswer(Shape):
    """The singular spectrum of one matrix."""

    tensor: TensorReference
    step: int = Field(description="The spectrum's own: the newest at or before the one asked for.")
    asked_step: int
    rows: int = Field(description="As the matrix was read; convolutions as out x rest.")
    columns: int
    count: int = Field(description="How many singular values there are.")
    ranks: list[int] = Field(description="From 1, of those that are given.")
    singular_values: list[float] = Field(description="Descending, in the weights' unit.")
    curve: CurveAnswer | None = Field(description="Null where the raw fit gave no verdict.")
    raw: dict[str, Any] = Field(description="Fit and outliers of the matrix as it is.")
    biwhitened: dict[str, Any] = Field(
        description="The same with rows and columns scaled to unit rms: what noise of any row and "
        "column scales does not show."
    )
    power_law: dict[str, Any] = Field(description="Fit of the tail, or `no_verdict` and why.")
