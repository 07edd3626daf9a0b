"""The way from a training to its server: reachable, let in, and bodies come as they were sent."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import urllib3

import bifurk
from bifurk_service.commands.doctor.finding import Finding, fine, problem, warning
from bifurk_service.errors import UnauthenticatedError

TIMEOUT_SECONDS: Final = 10.0
PROBE_BYTES: Final = 4 << 20
"""A part of a middling model; proxies that were not told otherwise let 1 MiB through."""
SKEW_SECONDS: Final = 30.0
"""From which on times of client and server look odd beside each other."""
PROBLEM: Final = "application/problem+json"


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    document: Mapping[str, object]
    local_time: float

    @property
    def of_bifurk(self) -> bool:
        """Whether the server gave it, and nothing before it."""
        return "request_id" in self.document

    @property
    def detail(self) -> str:
        return str(self.document.get("detail") or f"status {self.status}")


def findings(url: str | None, token: str | None, project: str) -> Iterator[Finding]:
    """Everything that a training's client needs of the way to its server.

    Args:
        project: that the runs are of; a token may be confined to another.
    """
    if url is None:
        yield warning(
            "server",
            "no address is set: watches write to a folder",
            "set BIFURK_URL, or pass --url",
        )
        return
    try:
        health = _ask("GET", f"{url.rstrip('/')}/healthz", token)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        yield problem(
            "server",
            f"{url} does not answer: {_reason(error)}",
            "see that it runs, that its address is right and that no firewall stands between",
        )
        return
    if health.document.get("status") != "ok":
        yield problem(
            "server",
            f"{url} answers {health.status}, not as bifurk does",
            "see the address, its prefix (BIFURK_ROOT_PATH), and BIFURK_ALLOWED_HOSTS of the server"
            if health.of_bifurk
            else "see the address and its prefix: something else answers there",
        )
        return
    yield fine("server", f"{url} answers")
    yield _version(str(health.document.get("version", "")))
    yield _clock(health)
    yield _compression(health)
    yield from _upload(url.rstrip("/"), token, project)


def _version(theirs: str) -> Finding:
    ours = bifurk.__version__
    if _line(theirs) == _line(ours):
        return fine(
            "versions", f"both {theirs}" if theirs == ours else f"{ours} here, {theirs} there"
        )
    return warning(
        "versions",
        f"bifurk {ours} here, {theirs} there",
        "upgrade the older one; a server takes the wire formats of older clients",
    )


def _line(version: str) -> list[str]:
    """Versions of the same line go together: of 0.x by the second number, later by the first."""
    numbers = re.findall(r"\d+", version)[:2]
    return numbers if numbers[:1] == ["0"] else numbers[:1]


def _clock(health: _Answer) -> Finding:
    said = health.headers.get("date")
    try:
        there = email.utils.parsedate_to_datetime(said or "").timestamp()
    except (TypeError, ValueError):
        return fine("clocks", "the server does not say its time")
    apart = health.local_time - there
    if abs(apart) > SKEW_SECONDS:
        side = "ahead of" if apart > 0 else "behind"
        return warning(
            "clocks",
            f"this machine's is {abs(apart):.0f} s {side} the server's",
            "set both by the network (NTP): times in tables and figures are each side's own",
        )
    return fine("clocks", "agree with the server's")


def _compression(health: _Answer) -> Finding:
    """The server compresses nothing: what does stands between, and holds back the stream."""
    if "content-encoding" in health.headers:
        return warning(
            "proxy",
            f"something between compresses answers ({health.headers['content-encoding']})",
            "turn that off for bifurk: it holds events of the stream back",
        )
    return fine("proxy", "answers come as they were sent")


def _upload(url: str, token: str | None, project: str) -> Iterator[Finding]:
    """Sends a body that is no part: it is refused, and how tells of token, limits and proxies."""
    body = os.urandom(PROBE_BYTES)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    path = f"/api/v1/projects/{project}/runs/doctor/attempts/doctor/snapshots/0/parts/0"
    headers = {"Content-Encoding": "zstd", "Content-Digest": f"sha-256=:{digest}:"}
    try:
        answer = _ask("PUT", f"{url}{path}", token, body=body, headers=headers)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        yield problem(
            "uploads",
            f"{PROBE_BYTES >> 20} MiB did not get through: {_reason(error)}",
            "see limits on bodies and times of the proxy between",
        )
        return
    yield _told_by_token(answer, project)
    if answer.status in (401, 403, 404):
        return
    yield _told_by_body(answer)


def _told_by_token(answer: _Answer, project: str) -> Finding:
    if answer.status == 401 and answer.of_bifurk:
        title = UnauthenticatedError.title
        return problem("token", f"{title}: {answer.detail}", "it may have ended: `bifurk token ls`")
    if answer.status == 403 and answer.of_bifurk:
        return problem("token", answer.detail, "trainings need one of scope write or admin")
    if answer.status == 404 and answer.of_bifurk:
        return problem(
            "token",
            f"it does not reach project {project}",
            "set BIFURK_PROJECT to its project, or make a token for this one",
        )
    if answer.status in (401, 403):
        return problem(
            "token",
            f"something before the server answers {answer.status}",
            "a proxy asks for a login of its own: let bifurk's paths through",
        )
    return fine("token", f"may write to project {project}")


def _told_by_body(answer: _Answer) -> Finding:
    size = f"{PROBE_BYTES >> 20} MiB"
    if answer.status == 413 and answer.of_bifurk:
        return warning(
            "uploads", f"the server refuses {size}: {answer.detail}", "see BIFURK_MAX_PART_BYTES"
        )
    if not answer.of_bifurk:
        return problem(
            "uploads",
            f"something before the server answers {answer.status} to {size}",
            "raise its limit on bodies, for nginx `client_max_body_size 64m`",
        )
    if answer.document.get("where") in ("Content-Digest", "Content-Encoding"):
        return problem(
            "uploads",
            f"the body or its headers were changed on the way: {answer.detail}",
            "let the proxy pass bodies, Content-Digest and Content-Encoding on as they are",
        )
    if answer.status != 422:
        return warning("uploads", f"answered {answer.status}: {answer.detail}", "try again")
    return fine("uploads", f"{size} got through unchanged")


def _ask(
    method: str,
    url: str,
    token: str | None,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> _Answer:
    sent = {"Accept-Encoding": "gzip, br, zstd", **(headers or {})}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    with urllib3.PoolManager(retries=False, timeout=TIMEOUT_SECONDS) as pool:
        answer = pool.request(method, url, body=body, headers=sent, redirect=False)
    try:
        document = answer.json()
    except ValueError:
        document = {}
    return _Answer(
        status=answer.status,
        headers={name.lower(): value for name, value in answer.headers.items()},
        document=document if isinstance(document, dict) else {},
        local_time=time.time(),
    )


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
