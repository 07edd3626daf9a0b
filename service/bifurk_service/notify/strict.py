"""What everything in the alerts file is made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Globs: TypeAlias = Annotated[tuple[str, ...], Field(min_length=1)]


class Strict(BaseModel):
    """The base of all that the file holds: frozen, and nothing beside what is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)
