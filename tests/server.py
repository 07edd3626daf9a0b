"""A real bifurk server in a process of its own, and a small REST client for tests."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import urllib3

from tests.asking import asked
from tests.command import Command
from tests.database import migrated

DEADLINE_SECONDS = 240.0
POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.2
"""A question costs the server more than a hundredth of a second: who waits long asks less often."""
SLOWER = 1.2


class Server:
    """`bifurk serve --port 0` in a folder of its own, until stopped or killed.

    The schema is there when it starts; what it does in an empty folder is left to the tests of the
    command line, of the quickstart and of `bifurk open`.
    """

    def __init__(self, data_dir: Path, environment: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        if "BIFURK_DATABASE_URL" not in (environment or {}):
            migrated(data_dir)
        self.log = data_dir.parent / f"{data_dir.name}-{time.monotonic_ns()}.log"
        port = (environment or {}).pop("BIFURK_PORT", "0")
        self.process = Command(
            ["serve", "--port", port, "--data-dir", str(data_dir)],
            environment={**os.environ, **(environment or {})},
            output=self.log,
        )
        self.url = self._address()

    def _address(self) -> str:
        def announced() -> str | None:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.said()}")
            found = re.search(r"listens on (\S+)\s", self.said())
            return found[1] if found else None

        url = wait_for(announced, "the server's address")
        wait_for(lambda: self._answers(url), "the server's first answer")
        return url

    def said(self) -> str:
        """All it has written so far; it makes the file itself."""
        return self.log.read_text() if self.log.exists() else ""

    def _answers(self, url: str) -> bool:
        try:
            return asked("GET", f"{url}/healthz", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON (or text) of one request."""
        answer = asked(
            method,
            self.url + path,
            body=body,
            headers=headers or {},
            redirect=False,
            retries=False,
        )
        text = answer.data.decode()
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.status, json.loads(text) if is_json else text

    def get(self, path: str) -> Any:
        """The JSON (or text) of a GET that must succeed."""
        status, answer = self.request("GET", path)
        assert status == 200, f"GET {path}: {status} {answer}"
        return answer

    def wait_until_judged(self, run_id: int, snapshots: int) -> dict[str, Any]:
        """The run once this many of its snapshots are judged and none waits."""

        def judged() -> dict[str, Any] | None:
            run = self.get(f"/api/v1/runs/{run_id}")
            counts = run["snapshots"]
            waiting = counts["received"] + counts["measured"]
            return run if counts["judged"] >= snapshots and waiting == 0 else None

        return wait_for(judged, f"{snapshots} judged snapshots")

    def kill(self) -> None:
        """SIGKILL, as the out-of-memory killer would."""
        self.process.kill()
        self.process.wait(timeout=DEADLINE_SECONDS)

    def stop(self) -> None:
        """Ends it as Ctrl-C does; again is no error."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=DEADLINE_SECONDS)
            except TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=DEADLINE_SECONDS)


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = DEADLINE_SECONDS) -> Any:
    """The first truthy answer of a condition, polled until a deadline."""
    deadline = time.monotonic() + seconds
    pause = POLL_SECONDS
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(pause)
        pause = min(SLOWER * pause, LONGEST_POLL_SECONDS)
    raise AssertionError(f"{what} did not come within {seconds} s")
