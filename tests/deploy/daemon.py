"""A program of Prometheus's kind in a process of its own, on loopback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import urllib3

from tests.ports import own_port
from tests.server import DEADLINE_SECONDS, wait_for


class Daemon:
    """Ready once it is made, until stopped.

    Args:
        program: where it lies. folder: of its log, there already. arguments: all but where it is
            to listen.
    """

    def __init__(self, program: str, folder: Path, *arguments: str) -> None:
        port = own_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        self._output = self._log.open("wb")
        self._process = subprocess.Popen(
            [program, *arguments, f"--web.listen-address=127.0.0.1:{port}"],
            stdout=self._output,
            stderr=self._output,
        )
        self._http = urllib3.PoolManager(retries=False, timeout=10)
        wait_for(self._ready, Path(program).name)

    def get(self, path: str) -> Any:
        """The JSON of an answer."""
        return json.loads(self._http.request("GET", f"{self.url}{path}").data)

    def stop(self) -> None:
        """Ends it and waits."""
        self._process.terminate()
        self._process.wait(timeout=DEADLINE_SECONDS)
        self._output.close()
        self._http.clear()

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self._http.request("GET", f"{self.url}/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False
