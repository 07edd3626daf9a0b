"""`bifurk worker` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
from functools import cached_property
from pathlib import Path

import urllib3

from tests.command import Command
from tests.server import DEADLINE_SECONDS, wait_for


class Worker:
    """Measures, judges and tells, until stopped."""

    def __init__(
        self, data_dir: Path, environment: dict[str, str], *, name: str = "worker"
    ) -> None:
        self.log = data_dir.parent / f"{data_dir.name}-{name}.log"
        self.process = Command(
            ["worker", "--port", "0"],
            environment={**os.environ, **environment, "BIFURK_DATA_DIR": str(data_dir)},
            output=self.log,
        )

    @cached_property
    def url(self) -> str:
        """The address of its metrics, once it has said it."""
        return str(wait_for(self._announced, "the worker's address"))

    def request(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and text of a GET."""
        answer = urllib3.request("GET", self.url + path, headers=headers, retries=False, timeout=30)
        return answer.status, answer.data.decode()

    def said(self) -> str:
        """All it has written so far; it makes the file itself."""
        return self.log.read_text() if self.log.exists() else ""

    def stop(self) -> None:
        """Ends it as Ctrl-C does; again is no error."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=DEADLINE_SECONDS)

    def _announced(self) -> str | None:
        if self.process.poll() is not None:
            raise AssertionError(f"the worker ended:\n{self.log.read_text()}")
        found = re.search(r"worker listens on (\S+)\s", self.said())
        return found[1] if found else None
