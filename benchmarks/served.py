"""`bifurk serve` in a process of its own, on a free port of loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that listens."""

    pid: int
    url: str


@contextmanager
def served(data_dir: Path, **settings: str) -> Iterator[Served]:
    """Starts a server with settings of its environment; ends it at the end.

    What it says goes into a file beside its folder: nobody reads a pipe, and it fills.

    Raises:
        RuntimeError: it did not say where it listens within a minute.
    """
    command = [sys.executable, "-c", "from bifurk_service.cli import main; main()", "serve"]
    log = data_dir.parent / "server.log"
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*command, "--port", "0", "--data-dir", str(data_dir)],
            stdout=output,
            stderr=output,
            env={**os.environ, **single, **settings},
        ) as process,
    ):
        try:
            yield Served(pid=process.pid, url=_address(log))
        finally:
            process.terminate()


def _address(log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if found := re.search(r"listens on (\S+)", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start: {log.read_text()}")
