"""What paths and queries may say: numbers that fit their columns, text that any database takes."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Path, Query
from pydantic import AfterValidator

from bifurk_service.domain import LARGEST
from bifurk_service.errors import InvalidError
from bifurk_service.stats.registry import BY_NAME


def storable(text: str) -> str:
    """The text itself, unless it holds what a database cannot: NUL, or half a surrogate pair.

    Raises:
        ValueError: it does.
    """
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("neither NUL nor half a surrogate pair is part of any text")
    return text


Text: TypeAlias = Annotated[str, AfterValidator(storable)]

RunId: TypeAlias = Annotated[int, Path(ge=1, le=LARGEST, description="A run's id.")]
TensorId: TypeAlias = Annotated[int, Path(ge=1, le=LARGEST, description="A tensor's id.")]
AlertId: TypeAlias = Annotated[int, Path(ge=1, le=LARGEST, description="An alert's id.")]

OfRun: TypeAlias = Annotated[
    int | None, Query(ge=1, le=LARGEST, description="A run's id; without one, all runs.")
]
Step: TypeAlias = Annotated[
    int | None, Query(ge=0, le=LARGEST, description="A stored step; without one, the last.")
]
Tag: TypeAlias = Annotated[
    Text,
    Path(
        max_length=256,
        description="Up to 64 letters, digits and `._-:=+`, a letter or digit first.",
    ),
]
Tags: TypeAlias = Annotated[
    list[Text], Query(max_length=32, description="Only what has all of these.")
]
Slug: TypeAlias = Annotated[Text | None, Query(max_length=128)]
OfAttempt: TypeAlias = Annotated[
    Text | None,
    Query(
        max_length=128,
        alias="attempt",
        description="Only what this attempt of the run saw; without one, the run's course.",
    ),
]
Glob: TypeAlias = Annotated[
    Text | None, Query(max_length=512, description="Of the name: `*` and `?`.")
]
Layer: TypeAlias = Annotated[int | None, Query(ge=0, le=LARGEST)]
Role: TypeAlias = Annotated[Text | None, Query(max_length=64)]
FirstStep: TypeAlias = Annotated[
    int | None, Query(ge=0, le=LARGEST, alias="from", description="First step.")
]
LastStep: TypeAlias = Annotated[
    int | None, Query(ge=0, le=LARGEST, alias="to", description="Last step.")
]


def check_statistics(*names: str) -> None:
    """Refuses what is no statistic.

    Raises:
        InvalidError: a name is not in the registry.
    """
    for name in names:
        if name not in BY_NAME:
            raise InvalidError(
                f"no statistic {name!r}; `GET /api/v1/stats` lists them", where="stat"
            )
