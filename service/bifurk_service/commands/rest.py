"""The command line's way to a running server: JSON over REST, and one clear line when it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, TypeAlias
from urllib.parse import urlencode

import urllib3

from bifurk_service.errors import BifurkError

TIMEOUT_SECONDS: Final = 30.0
CHUNK_BYTES: Final = 1 << 16
PAGE_ITEMS: Final = 1000
"""The most that the server puts on one page."""

_STALE_CONNECTION: Final = urllib3.Retry(
    total=1, connect=0, redirect=0, status=0, other=0, respect_retry_after_header=False
)
"""The server may close an idle connection just as it is used again; nothing else is tried twice."""

Json: TypeAlias = dict[str, Any]
Query: TypeAlias = str | int | list[str] | None
Content: TypeAlias = tuple[bytes, str]
"""A body and its media type."""


class RestError(BifurkError):
    """The server is absent, refuses, or answers something else than bifurk would."""

    title = "No answer"

    def __init__(self, detail: str, *, answered: int | None = None) -> None:
        super().__init__(detail)
        self.answered = answered


class Rest:
    """One server, asked with one token; every method raises ``RestError`` when it gives no answer.

    Redirects are not followed: the token is for the named server alone.

    Args:
        url: ``http(s)://host[:port][/prefix]``. token: sent as ``Authorization: Bearer``.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        if not url.lower().startswith(("http://", "https://")):
            raise RestError(f"a server is named like http://host:port, got {url!r}")
        token = token.strip() if token else None
        if token and not (token.isascii() and token.isprintable()):
            raise RestError("the token holds what no HTTP header may; copy it again")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=TIMEOUT_SECONDS), retries=_STALE_CONNECTION
        )

    def get(self, path: str, **query: Query) -> Json:
        """The JSON object at a path; parameters that are None are left out."""
        return self._json("GET", path, query)

    def post(self, path: str, document: Json) -> Json:
        """The JSON object that answers a JSON body."""
        return self.upload(path, json.dumps(document).encode(), media_type="application/json")

    def patch(self, path: str, document: Json) -> Json:
        """The JSON object that answers a change."""
        content = (json.dumps(document).encode(), "application/json")
        return self._json("PATCH", path, {}, content)

    def upload(self, path: str, body: bytes, *, media_type: str, **query: Query) -> Json:
        """The JSON object that answers a body of this media type."""
        return self._json("POST", path, query, (body, media_type))

    def items(self, path: str, **query: Query) -> Iterator[Json]:
        """Every item of a list, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **query, limit=PAGE_ITEMS, cursor=cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def put(self, path: str) -> Json:
        """The JSON object that answers a PUT without a body."""
        return self._json("PUT", path, {})

    def delete(self, path: str) -> None:
        """Deletes what is at a path."""
        self._exchange("DELETE", path, {})

    def download(self, path: str, into: BinaryIO, **query: Query) -> None:
        """Writes the body at a path into a file as it comes.

        Raises:
            RestError: no answer, a refusal, or an end before the end.
        """
        response = self._answer("GET", path, query, whole=False)
        try:
            into.writelines(response.stream(CHUNK_BYTES))
        except urllib3.exceptions.HTTPError as error:
            raise RestError(
                f"{self.url} broke off ({_reason(error)}); its log may say why"
            ) from error
        finally:
            response.close()

    def _json(
        self, method: str, path: str, query: dict[str, Query], content: Content | None = None
    ) -> Json:
        body = self._exchange(method, path, query, content)
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise RestError(f"{self.url} does not answer as a bifurk server does")
        return answer

    def _exchange(
        self, method: str, path: str, query: dict[str, Query], content: Content | None = None
    ) -> bytes:
        return self._answer(method, path, query, content, whole=True).data

    def _answer(
        self,
        method: str,
        path: str,
        query: dict[str, Query],
        content: Content | None = None,
        *,
        whole: bool,
    ) -> urllib3.BaseHTTPResponse:
        """A response that is none of a failure; its body is read already where ``whole``."""
        headers = {**self._headers, **({"Content-Type": content[1]} if content else {})}
        given = {name: value for name, value in query.items() if value not in (None, [])}
        url = self.url + path + (f"?{urlencode(given, doseq=True)}" if given else "")
        try:
            response = self._pool.request(
                method,
                url,
                body=content[0] if content else None,
                headers=headers,
                redirect=False,
                preload_content=whole,
            )
            if response.status >= 300:
                raise RestError(f"{self.url}: {_problem(response)}", answered=response.status)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise RestError(
                f"no bifurk server answers at {self.url} ({_reason(error)}); "
                "`bifurk serve` starts one, --url or BIFURK_URL names another"
            ) from error
        return response


def _problem(response: urllib3.BaseHTTPResponse) -> str:
    """What a problem document says, or the status where it is none of ours."""
    try:
        return str(json.loads(response.data)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"answers with status {response.status}, which no bifurk server would"


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None) or error
    return type(inner).__name__
