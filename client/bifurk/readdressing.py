"""An attempt that is another job's already: what was made for it goes out under a name of its own.

It happens where two jobs are given one attempt's name (a copied ``BIFURK_ATTEMPT``, the tasks of an
array) and where a job is started again under the name it had. The server tells jobs apart by the
header that every request carries, and stores nothing of the second one under the first one's name.
"""

from __future__ import annotations

import json
import logging
import re
import time
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from bifurk.identity import WRITER_HEADER
from bifurk.transport import Request, Response, Transport
from bifurk.wire import WireError, content_digest, decode, encode
from bifurk.wire.slug import MAX_SLUG_CHARACTERS

WORD_CHARACTERS: Final = 8
"""Of the writer, in the name of an attempt that had to be another."""

_ATTEMPT: Final = re.compile(r"(/api/v1/projects/[^/]+/runs/([^/]+)/attempts/)([^/]+)(/.*)?")
_log = logging.getLogger("bifurk")


class Readdressing:
    """A transport that sends what is refused as another job's under an attempt of its own.

    The new name depends on nothing but the old one and the writer, so that all ranks of a job, and
    a later process that finds their spool, come to the same. Not thread-safe: of one sender.

    Args:
        inner: the transport that sends; closed with this.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._taken: set[tuple[str, str]] = set()

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        """See ``Transport.send``; a part that cannot be written anew stays refused."""
        end = time.monotonic() + deadline_seconds
        place, writer = _ATTEMPT.fullmatch(request.path), request.headers.get(WRITER_HEADER)
        if place is None or writer is None:
            return self._inner.send(request, deadline_seconds=deadline_seconds)
        key = (place[1] + place[3], writer)
        if key not in self._taken:
            response = self._inner.send(request, deadline_seconds=deadline_seconds)
            if not _says_taken(response):
                return response
            self._taken.add(key)
            _log.warning(
                "attempt %s of run %s belongs to another job: this one's snapshots go on as "
                "attempt %s (leave BIFURK_ATTEMPT unset, or set another one for every start)",
                place[3],
                place[2],
                own_attempt(place[3], writer),
            )
        try:
            moved = _readdressed(request, place, own_attempt(place[3], writer))
        except WireError as error:
            _log.warning("a snapshot cannot be sent under another name: %s", error)
            return Response(status=HTTPStatus.CONFLICT)
        return self._inner.send(moved, deadline_seconds=max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """See ``Transport.close``."""
        self._inner.close()


def own_attempt(attempt: str, writer: str) -> str:
    """The name that a writer goes on under where an attempt's name is another's.

    >>> own_attempt("nightly", "5f0c2a9977aa0b11")
    'nightly-5f0c2a99'
    """
    word = f"-{writer[:WORD_CHARACTERS]}"
    return attempt[: MAX_SLUG_CHARACTERS - len(word)] + word


def _says_taken(response: Response) -> bool:
    if response.status != HTTPStatus.CONFLICT:
        return False
    with suppress(ValueError, RecursionError, AttributeError):
        return bool(json.loads(response.body).get("where") == WRITER_HEADER)
    return False


def _readdressed(request: Request, place: re.Match[str], attempt: str) -> Request:
    """The same for another attempt; a part says it in its body too, which is written anew."""
    path = f"{place[1]}{attempt}{place[4] or ''}"
    if not place[4]:
        return replace(request, path=path)
    part = decode(request.body, encoding=request.headers.get("Content-Encoding", "identity"))
    body = encode(replace(part, manifest=replace(part.manifest, attempt=attempt)))
    headers = {
        **request.headers,
        "Content-Encoding": "zstd",
        "Content-Digest": content_digest(body),
    }
    return replace(request, path=path, headers=headers, body=body)
