"""A server with tokens whose runs these pages are shown with, and what a browser says to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.api.conftest import make_tokens
from tests.api.filling import Caller, Filled, fill
from tests.asking import asked
from tests.pages.forked import fill_forked
from tests.server import Server

HTML = "text/html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, headers and text."""

    status: int
    headers: dict[str, str]
    text: str


class Browser:
    """Carries a token as a cookie, asks for pages, posts forms, follows no redirect."""

    def __init__(self, server: Server, token: str | None) -> None:
        self._url = server.url
        self._headers = {"Accept": HTML}
        if token is not None:
            self._headers["Cookie"] = f"bifurk_token={token}"

    def get(self, path: str, **headers: str) -> Answer:
        """What a path answers."""
        return self._ask("GET", path, headers)

    def json(self, path: str) -> Any:
        """The JSON of a figure that must be there."""
        answer = asked("GET", self._url + path, headers=self._headers)
        assert answer.status == 200, answer.data
        return answer.json()

    def post(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """What a form gets that is posted from a page of this server."""
        said = {
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        return self._ask("POST", path, said, urlencode(fields).encode())

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        answer = asked(
            method,
            self._url + path,
            headers={**self._headers, **headers},
            body=body or None,
            redirect=False,
        )
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(status=answer.status, headers=lowered, text=answer.data.decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The server, its runs, and browsers by the name of their token."""

    server: Server
    filled: Filled
    forked: int
    admin: Caller
    browsers: dict[str, Browser]

    def alert(self, kind: str, run: int | None = None) -> dict[str, Any]:
        """The run's first alert of a kind, whole."""
        found = self.admin.get(f"/api/v1/alerts?run={run or self.forked}&kind={kind}")["items"]
        return dict(self.admin.get(f"/api/v1/alerts/{found[0]['id']}"))

    @contextmanager
    def renamed(self, name: str) -> Iterator[None]:
        """Shows the forked run under another name for as long as the context is open."""
        self._rename(name)
        try:
            yield
        finally:
            self._rename(None)

    def _rename(self, name: str | None) -> None:
        status, answer = self.admin.request(
            "PATCH",
            f"/api/v1/runs/{self.forked}",
            body=json.dumps({"display_name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        assert status == 200, answer


@contextmanager
def served_runs(folder: Path, *, with_fork: bool = True) -> Iterator[Served]:
    """Starts and fills it; stops it at the end. The run that forks takes a quarter of a minute."""
    data_dir = folder / "data"
    tokens = make_tokens(data_dir)
    alerts_file = folder / "alerts.yaml"
    alerts_file.write_text("rules: []")
    server = Server(data_dir, {"BIFURK_ALERTS_FILE": str(alerts_file)})
    try:
        admin = Caller(server, tokens["admin"])
        browsers = {name: Browser(server, token) for name, token in tokens.items()}
        browsers["none"] = Browser(server, None)
        yield Served(
            server=server,
            filled=fill(admin),
            forked=fill_forked(admin) if with_fork else 0,
            admin=admin,
            browsers=browsers,
        )
    finally:
        server.stop()
