"""Entity tags: an answer that has not changed is not worked out or sent again.

What is tagged is a snapshot's: once measured it does not change, unless a later attempt
measures the same step anew or its run is deleted. So caches keep the answer and ask, and the
question costs a lookup, no decoding.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Final

from fastapi import Request, Response

import bifurk
from bifurk_service.store.models import Snapshot, StoredPart

CACHE_CONTROL: Final = "private, no-cache"
"""Keep it, and ask each time whether it still holds."""


def snapshot_tag(
    request: Request, snapshot: Snapshot, parts: list[StoredPart], *others: str
) -> str:
    """The strong entity tag of what this request asks of a snapshot.

    ``others`` say what else the answer depends on: another snapshot, a spectrum's own step.
    """
    facts = [
        bifurk.__version__,
        request.url.path,
        request.url.query,
        str(snapshot.id),
        repr(snapshot.measured_at),
        *(part.digest for part in parts),
        *others,
    ]
    return f'"{hashlib.sha256(chr(0).join(facts).encode()).hexdigest()[:32]}"'


def not_modified(request: Request, tag: str) -> Response | None:
    """The answer 304 when the caller holds what has this tag already, else None."""
    held = request.headers.get("if-none-match", "")
    if held.strip() != "*" and tag not in {
        one.strip().removeprefix("W/") for one in held.split(",")
    }:
        return None
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=freshness(tag))


def freshness(tag: str) -> dict[str, str]:
    """The headers of a tagged answer."""
    return {"ETag": tag, "Cache-Control": CACHE_CONTROL}
