"""The shapes of a comparison of two runs, or of two steps."""

from __future__ import annotations

from pydantic import Field

from bifurk_service.api.schemas import THINNED, Shape, TensorReference


class SideAnswer(Shape):
    """One of the two that are compared."""

    run_id: int
    project: str
    run: str
    attempt: str = Field(description="Whose snapshot it is.")
    step: int
    thinned: list[list[int]] = Field(description=THINNED)


class ChangeAnswer(Shape):
    """One statistic on both sides."""

    this: float | None
    other: float | None
    difference: float | None = Field(description="this - other.")
    ratio: float | None = Field(description="this / other, of statistics on a logarithmic scale.")


class ComparedTensorAnswer(Shape):
    """A tensor that both sides have: distances of its two distributions, and its statistics."""

    tensor: TensorReference
    other_id: int
    ks: float | None = Field(description="Largest gap of the distribution functions.")
    js_divergence: float | None = Field(description="Jensen-Shannon, nats, at most ln 2.")
    js_by_chance: float | None = Field(description="What two samples of one law would show.")
    wasserstein_1: float | None = Field(description="In the weights' unit.")
    wasserstein_1_sigma: float | None = Field(description="In the other side's deviations.")
    no_value: str | None = Field(description="Why there are no distances, or null.")
    statistics: dict[str, ChangeAnswer]


class PartedAnswer(Shape):
    """A statistic of a tensor that stays apart: since which step, and the values there."""

    tensor: TensorReference
    step: int
    exact: bool = Field(
        description="False where it may have parted earlier: no more of a long run was read."
    )
    statistic: str
    this: float
    other: float
    ratio: float | None
    statistics: list[str] = Field(description="All of this tensor that stay apart.")


class PartingAnswer(Shape):
    """Where two runs part, from their stored series; the definition is ours."""

    levels: dict[str, float] = Field(
        description="What is more than usual: |ln(this/other)|, or |this - other|."
    )
    matrices: int = Field(description="How many tensors were judged: those of two dimensions.")
    common_steps: int | None = Field(description="Null for long runs: not counted.")
    first_step: int | None = Field(
        description="The first common step; of long runs that have none among the oldest, the "
        "first that was found."
    )
    last_step: int | None
    first_difference: int | None = Field(description="The first step with any difference at all.")
    first_difference_exact: bool = Field(
        description="False where of stretches of long runs only extremes were compared: there may "
        "be a difference before the first that was found."
    )
    last_together: int | None = Field(description="The last common step before they part.")
    exact: bool = Field(
        description="False where tensors may have parted earlier than it says, or unsaid: no more "
        "of long runs was read. So it is where no common step was found among the newest."
    )
    tensors: list[PartedAnswer] = Field(description="Those that part, the earliest first.")


class ComparisonAnswer(Shape):
    """Two runs, or two steps of one run."""

    this: SideAnswer
    other: SideAnswer
    tensors: list[ComparedTensorAnswer] = Field(description="Of the same name; the model's order.")
    only_this: list[str]
    only_other: list[str]
    parting: PartingAnswer | None = Field(description="Null for two steps of one run.")
    sentences: list[str]
