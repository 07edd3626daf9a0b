"""Errors as pages, where a browser asked for one."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from bifurk_service.pages.rendering import page, root_of
from bifurk_service.problems import Problem

MACHINES = ("/api/", "/metrics", "/assets/", "/openapi.json", "/figures/")


def problem_page(request: Request, problem: Problem) -> Response | None:
    """The page of an error, or None where JSON is the answer; who has no token is asked for one."""
    path = request.url.path.removeprefix(root_of(request))
    if any(part in path for part in MACHINES) or "text/html" not in request.headers.get(
        "accept", ""
    ):
        return None
    if problem.status == HTTPStatus.UNAUTHORIZED:
        asked = f"{path}?{request.url.query}" if request.url.query else path
        onward = urlencode({"next": asked})
        return RedirectResponse(
            f"{root_of(request)}/sign-in?{onward}", status_code=HTTPStatus.SEE_OTHER
        )
    return page(request, "problem.html", status=HTTPStatus(problem.status), problem=problem)
