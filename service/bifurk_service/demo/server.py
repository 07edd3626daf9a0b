"""The demo's own server: `bifurk serve` as a child process on loopback."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bifurk_service.demo.api import Api, ApiError
from bifurk_service.demo.processes import start_python, stop

START_SECONDS: Final = 60.0
"""A cold start imports scipy and migrates a database; a slow disk needs most of this."""
_POLL_SECONDS: Final = 0.1
_LOG_TAIL_CHARACTERS: Final = 2_000
_CLI: Final = ("-c", "from bifurk_service.cli import main; main()")
"""The `bifurk` command under this interpreter, wherever its script was installed."""
_ADDRESS: Final = re.compile(r"listens on (http://\S+)")
"""Only our own child says this in our own log: nobody else's server on the port is mistaken."""


class ServerFailedError(RuntimeError):
    """The server ended or did not become ready; the message holds the end of its log."""


@contextmanager
def serving(folder: Path, *, port: int | None = None) -> Iterator[Api]:
    """Runs a server that keeps its data in ``folder`` for as long as the context is open.

    Args:
        folder: exists; gets ``data/`` and ``server.log``.
        port: on loopback; None takes a free one.

    Raises:
        ServerFailedError: it did not become ready within ``START_SECONDS``.
    """
    settings = {"BIFURK_DATA_DIR": str(folder / "data"), "BIFURK_HOST": "127.0.0.1"}
    command = (*_CLI, "serve", "--port", str(port or 0))
    log_path = folder / "server.log"
    with log_path.open("wb") as log:
        process = start_python(*command, folder=folder, log=log, settings=settings)
        try:
            api = _wait_until_ready(process, log_path)
            try:
                yield api
            finally:
                api.close()
        finally:
            stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], log_path: Path) -> Api:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        address = _ADDRESS.search(log_path.read_text(errors="replace"))
        if address is not None and _is_ready(api := Api(address[1])):
            return api
        time.sleep(_POLL_SECONDS)
    state = "is not ready" if process.poll() is None else f"ended with code {process.returncode}"
    tail = log_path.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
    raise ServerFailedError(f"the server {state}; the end of {log_path}:\n{tail}")


def _is_ready(api: Api) -> bool:
    try:
        api.check_ready()
    except ApiError:
        api.close()
        return False
    return True
