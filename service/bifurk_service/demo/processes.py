"""Child processes of the demo: the same Python, one thread each, none of the caller's settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

STOP_SECONDS: Final = 10.0
"""How long a child may take to end itself before it is killed."""

_ONE_PASSIVE_THREAD: Final = {
    # Two OpenMP pools on two cores slow each other down tenfold and more.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def start_python(
    *arguments: str,
    folder: Path,
    log: IO[bytes],
    output: IO[bytes] | None = None,
    settings: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts this very interpreter in a folder of its own.

    Args:
        *arguments: what to run, ``-m`` and a module for instance.
        folder: its working directory.
        log: takes its errors.
        output: takes its output; None: the log does.
        settings: further environment; a caller's own ``BIFURK_*`` never reach the child.
    """
    return subprocess.Popen(  # noqa: S603 - our own modules under our own interpreter
        [sys.executable, *arguments],
        cwd=folder,
        env=_environment(settings or {}),
        stdin=subprocess.DEVNULL,
        stdout=output or log,
        stderr=log,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a child, politely first; does nothing when it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("BIFURK_")
    }
    return {**inherited, **_ONE_PASSIVE_THREAD, **settings}
