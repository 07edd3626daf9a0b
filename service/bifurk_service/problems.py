"""Errors as ``application/problem+json`` (RFC 9457): translated in this one place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from bifurk_service.errors import BifurkError, InvalidError
from bifurk_service.logs import current_request
from bifurk_service.logs.request import HEADER

log = logging.getLogger("bifurk.service")

MEDIA_TYPE: Final = "application/problem+json"


class Problem(BaseModel):
    """What every error answers (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(description="The same for every error of the kind.")
    status: int
    detail: str = Field(description="What was expected, what came, and what helps.")
    where: str | None = Field(None, description="The part of the request it concerns.")
    request_id: str | None = Field(
        None, description="Of X-Request-ID; the server's log names it with every line."
    )


DOCUMENTED: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
    for status, description in (("4XX", "Refused, and why"), ("5XX", "Failed; 503: try again"))
}
"""For the OpenAPI document: how each operation answers when it does not do what it was asked."""


PageOf: TypeAlias = Callable[[Request, Problem], Response | None]
Handler: TypeAlias = Callable[[Request, Exception], "Answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A problem and the headers it is answered with."""

    problem: Problem
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> JSONResponse:
        """The answer to a machine."""
        return JSONResponse(
            self.problem.model_dump(exclude_none=True),
            status_code=self.problem.status,
            headers=dict(self.headers),
            media_type=MEDIA_TYPE,
        )


def install_problem_handlers(app: FastAPI, *, page_of: PageOf) -> None:
    """Makes every error of the application answer in the one shape.

    Args:
        page_of: the answer to a person who looks at a page; None where JSON is the answer.
    """
    for kind, handler in (
        (BifurkError, _own),
        (RequestValidationError, _validation),
        (HTTPException, _http),
        (Exception, _unexpected),
    ):
        app.add_exception_handler(kind, _answering(handler, page_of))


def _answering(handler: Handler, page_of: PageOf) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        found = handler(request, error)
        return page_of(request, found.problem) or found.as_json()

    return answer


def problem_response(error: BifurkError) -> JSONResponse:
    """The answer to an error of our own."""
    return _of(error).as_json()


def _of(error: BifurkError) -> Answer:
    headers = {}
    _note_refusal(error.reason)
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _problem(error.status, error.title, error.detail, where=error.where, headers=headers)


def _note_refusal(reason: str | None) -> None:
    record = current_request()
    if record is not None:
        record.refused = reason


def _own(_request: Request, error: Exception) -> Answer:
    assert isinstance(error, BifurkError)
    return _of(error)


def _validation(_request: Request, error: Exception) -> Answer:
    assert isinstance(error, RequestValidationError)
    _note_refusal(InvalidError.usual_reason)
    first = error.errors()[0]
    where = ".".join(str(place) for place in first["loc"])
    return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", first["msg"], where=where)


def _http(request: Request, error: Exception) -> Answer:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods(request)):
        headers["Allow"] = ", ".join(methods)
    return _problem(status, status.phrase, str(error.detail), headers=headers)


def _methods(request: Request) -> list[str]:
    """All that a path knows; the router by itself names those of the first route it met there."""
    return sorted(
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        for method in operations
        if compile_path(path)[0].match(request.url.path)
    )


def _unexpected(request: Request, error: Exception) -> Answer:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Internal error",
        "the server met an error of its own; its log says which",
    )


def _problem(
    status: HTTPStatus,
    title: str,
    detail: str,
    *,
    where: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    record = current_request()
    request_id = None if record is None else record.id
    problem = Problem(
        title=title, status=int(status), detail=detail, where=where, request_id=request_id
    )
    marked = {} if request_id is None else {HEADER: request_id}
    return Answer(problem=problem, headers={**marked, **(headers or {})})
