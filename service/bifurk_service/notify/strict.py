"""What everything in the alerts file is made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bifurk.wire.strict_json import FORBIDDEN


def _one_line(given: str) -> str:
    if FORBIDDEN.search(given):
        raise ValueError(f"expected text without control characters, got {given!r:.80}")
    return given


Line: TypeAlias = Annotated[str, AfterValidator(_one_line)]
"""What no name can hold, no glob needs: the same characters as in names that clients send."""
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Globs: TypeAlias = Annotated[tuple[Line, ...], Field(min_length=1)]


class Strict(BaseModel):
    """The base of all that the file holds: frozen, and nothing beside what is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)
