"""A Dask scheduler and its workers, started as the documentation says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.ports import own_port
from tests.server import wait_for

DASK = Path(sys.executable).with_name("dask")
QUICK = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class Cluster:
    """One scheduler, and any number of worker processes of one thread each, on loopback."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = own_port()
        self.address = f"tcp://127.0.0.1:{self._port}"
        self._started: list[subprocess.Popen[bytes]] = []
        self._workers: list[tuple[subprocess.Popen[bytes], tuple[str, ...], dict[str, str]]] = []
        self.gpu: subprocess.Popen[bytes] | None = None
        self.start_scheduler()

    def start_scheduler(self) -> None:
        """Starts it, for the first time or again."""
        self.scheduler = self._start(
            *("scheduler", "--host", "127.0.0.1", "--port", str(self._port)),
            *("--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
        )

    def start_worker(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """One more, which its nanny starts anew when it dies."""
        process = self._start(
            "worker",
            self.address,
            *("--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"),
            *("--local-directory", str(self._folder)),
            *("--preload", "bifurk_service.pipeline.cluster.tasks"),
            *options,
            **environment,
        )
        self._workers.append((process, options, environment))
        return process

    def revive(self) -> None:
        """Starts again whom its nanny has given up, as the documentation asks for.

        It does where what it starts is killed before it has begun.
        """
        ended = [one for one in self._workers if one[0].poll() is not None]
        self._workers = [one for one in self._workers if one not in ended]
        for process, options, environment in ended:
            started = self.start_worker(*options, **environment)
            if process is self.gpu:
                self.gpu = started

    def _start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{words[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [DASK, *words],
                stdout=log,
                stderr=log,
                env={**os.environ, **QUICK, **environment},
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def worker_ids(self) -> list[int]:
        """Of the processes that work, not of the nannies that start them."""
        found: list[int] = []
        for process in list(self._started):
            with suppress(psutil.NoSuchProcess):
                found += [one.pid for one in psutil.Process(process.pid).children(recursive=True)]
        return found

    def kill_scheduler(self) -> None:
        """SIGKILL."""
        self.scheduler.kill()
        self.scheduler.wait(30)

    def stop(self) -> None:
        """Ends everything, workers' children among it."""
        for process in self._started:
            stop_group(process)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def wait_for_slots(engine: Any, slots: int) -> None:
    """Until an engine can run so many tasks at once."""
    wait_for(lambda: engine.count == slots, f"{slots} slots, trouble: {engine.trouble}")
