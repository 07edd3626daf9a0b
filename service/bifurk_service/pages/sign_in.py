"""Signing in: a browser keeps a token in a cookie that scripts cannot read."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from bifurk_service.access import COOKIE
from bifurk_service.pages.forms import Form
from bifurk_service.pages.rendering import page, root_of
from bifurk_service.services import services
from bifurk_service.store.tokens import find_grant

router = APIRouter(include_in_schema=False)

A_MONTH_SECONDS: Final = 30 * 86400


@router.get("/sign-in")
def get_sign_in(request: Request, next: Annotated[str, Query(max_length=2048)] = "/") -> Response:
    """The form."""
    return page(request, "sign_in.html", next=next, problem=None)


@router.post("/sign-in")
def post_sign_in(request: Request, form: Form) -> Response:
    """Takes a token; the browser goes on to where it came from."""
    token, onward = form.get("token", "").strip(), form.get("next", "/")
    with services(request).database.read() as session:
        grant = find_grant(session, token, now=time.time()) if token else None
    if grant is None:
        return page(
            request,
            "sign_in.html",
            status=HTTPStatus.UNAUTHORIZED,
            next=onward,
            problem="This server knows no such token; `bifurk token create` makes one.",
        )
    answer = RedirectResponse(_within(request, onward), status_code=HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=A_MONTH_SECONDS,
        path=root_of(request) or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/sign-out")
def post_sign_out(request: Request) -> Response:
    """Forgets the token."""
    answer = RedirectResponse(f"{root_of(request)}/sign-in", status_code=HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, path=root_of(request) or "/")
    return answer


def _within(request: Request, onward: str) -> str:
    """A path of this server; anything else leads to its first page."""
    is_path = onward.startswith("/") and not onward.startswith(("//", "/\\"))
    return f"{root_of(request)}{onward if is_path and onward.isprintable() else '/'}"
