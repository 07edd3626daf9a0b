"""Baselines as the alerts file names them: which runs are held against which good ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field, field_validator, model_validator

from bifurk_service.notify.strict import Globs, Name, Strict
from bifurk_service.stats.baseline import LEAST_TO_TELL
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.stats.statistic import Nature

MOST_GOOD: Final = 20
MOST_STATISTICS: Final = 10
LEAST_GOOD: Final = 5
"""Good runs without which nothing is said, where the file does not say."""


class Baseline(Strict):
    """Good runs, and which runs of the same project are held against them.

    Attributes:
        run: a glob. good: names of runs; a run is never its own.
        roles, match: of the tensors; all that is given must hold, a glob like those of rules.
        least_good: good runs with a value at a step without which nothing is said of it.
    """

    name: Name
    project: Name
    run: Name = "*"
    good: Annotated[tuple[Name, ...], Field(min_length=LEAST_TO_TELL, max_length=MOST_GOOD)]
    statistics: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_STATISTICS)]
    roles: Globs | None = None
    match: Name | None = None
    least_good: Annotated[int, Field(ge=LEAST_TO_TELL, le=MOST_GOOD)] = LEAST_GOOD

    @field_validator("roles", "statistics", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @field_validator("good", "statistics")
    @classmethod
    def _each_once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        twice = _twice(given)
        if twice is not None:
            raise ValueError(f"{twice!r} stands here twice")
        return given

    @field_validator("statistics")
    @classmethod
    def _are_numbers(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            if name not in BY_NAME:
                raise ValueError(
                    f"expected statistics of docs/statistics.md such as 'std', got {name!r}"
                )
            if BY_NAME[name].nature is Nature.CLASS:
                raise ValueError(f"{name!r} names classes, of which there is no band")
        return given

    @model_validator(mode="after")
    def _are_enough(self) -> Baseline:
        if len(self.good) < self.least_good:
            raise ValueError(
                f"least_good is {self.least_good} and {len(self.good)} good runs are named: "
                "nothing would ever be said; name more, or set least_good"
            )
        return self


def check_names(baselines: Sequence[Baseline]) -> None:
    """Raises ``ValueError`` where two have one name: an alert is known by it."""
    twice = _twice([one.name for one in baselines])
    if twice is not None:
        raise ValueError(f"two baselines are named {twice!r}; an alert is known by that name")


def _twice(names: Sequence[str]) -> str | None:
    return next((name for place, name in enumerate(names) if name in names[:place]), None)
