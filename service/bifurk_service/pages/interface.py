"""What REST answers, as a page: made from the OpenAPI document, with nothing from another host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

from bifurk_service.pages.rendering import page

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a path or a query takes, and what it means."""

    name: str
    place: str
    is_required: bool
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing to ask for; ``answers`` has the statuses that are no failure."""

    method: str
    path: str
    name: str
    tag: str
    meaning: str
    parameters: tuple[Parameter, ...]
    body: str
    answers: str


@router.get("/docs")
def get_interface(request: Request) -> HTMLResponse:
    """Every operation, by what it is about."""
    app: FastAPI = request.app
    groups: dict[str, list[Operation]] = {}
    for one in operations(app.openapi()):
        groups.setdefault(one.tag, []).append(one)
    return page(request, "interface.html", groups=groups)


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """What an OpenAPI document describes, in its order."""
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            yield Operation(
                method=method.upper(),
                path=path,
                name=one["operationId"],
                tag=one.get("tags", ["other"])[0],
                meaning=one.get("description", ""),
                parameters=tuple(map(_parameter, one.get("parameters", ()))),
                body=", ".join(one.get("requestBody", {}).get("content", ())),
                answers=", ".join(code for code in one["responses"] if code < "300"),
            )


def _parameter(one: dict[str, Any]) -> Parameter:
    return Parameter(
        name=one["name"],
        place=one["in"],
        is_required=one.get("required", False),
        meaning=one.get("description", ""),
    )
