"""Templates to answers: every text is escaped, and nothing but this server's own files runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

import bifurk
from bifurk_service.access import COOKIE

CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Bokeh places its figures by inline styles
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}


def page(
    request: Request, template: str, *, status: HTTPStatus = HTTPStatus.OK, **context: Any
) -> HTMLResponse:
    """A template filled; ``root`` and ``version`` are there for links."""
    text = (
        environment()
        .get_template(template)
        .render(
            root=root_of(request),
            version=bifurk.__version__,
            signed_in=is_signed_in(request),
            **context,
        )
    )
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def root_of(request: Request) -> str:
    """The prefix of every link: what a proxy publishes the server under, without a last slash."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def is_signed_in(request: Request) -> bool:
    """Whether the browser carries a token, valid or not."""
    return COOKIE in request.cookies


@cache
def environment() -> Environment:
    """The templates and their filters."""
    made = Environment(
        loader=PackageLoader("bifurk_service.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        when=when,
        number=number,
        duration=duration,
        query=query,
        share=share,
        asjson=asjson,
        pairs=pairs,
        sumof=sumof,
    )
    return made


def when(seconds: float | None) -> str:
    """A time as people read it, UTC."""
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def number(value: float | None) -> str:
    """Four digits, thousands apart; a dash for nothing."""
    if value is None:
        return "\N{EN DASH}"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """A time span as people say it: ``0.14 s``, ``12 s``, ``3.5 min``, ``2 h``."""
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size or unit == "s":
            break
    digits = 0 if seconds >= 10 * size else 1 if seconds >= size else 2
    return f"{round(seconds / size, digits):,g} {unit}"


def share(value: float | None) -> str:
    """A ratio in percent; a dash for nothing."""
    return "\N{EN DASH}" if value is None else f"{100 * value:.2g} %"


def query(values: Mapping[str, object]) -> str:
    """A query string of what is not None; a list is repeated."""
    given = {name: value for name, value in values.items() if value is not None}
    return urlencode(given, doseq=True)


def asjson(value: object) -> str:
    """JSON for a data attribute."""
    return json.dumps(value)


def pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names as choices: each its own value and text."""
    return [(name, name) for name in names]


def sumof(counts: Mapping[str, int]) -> int:
    """The sum of counts."""
    return sum(counts.values())
