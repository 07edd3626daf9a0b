"""The processes that measure."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from typing import Protocol, TypeVar

from bifurk_service.pipeline.measuring import MeasureJob, MeasureOutcome, run_job

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Several thread pools on few cores spin against each other and slow everything down tenfold."""


class WorkersLostError(BrokenExecutor):
    """Workers died over a job.

    Attributes:
        times: how many of them, at least 1.
    """

    def __init__(self, detail: str, *, times: int = 1) -> None:
        super().__init__(detail)
        self.times = times


class WorkersAwayError(Exception):
    """Nobody can do a job now, which is no fault of the job."""


class Engine(Protocol):
    """What measures snapshots: processes of this machine, or a cluster."""

    @property
    def count(self) -> int:
        """How many jobs run at once; 0 while there is nobody to run one."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why nothing is measured now; None where all is well."""
        ...

    def measure(self, job: MeasureJob) -> Future[MeasureOutcome]:
        """Hands a job out.

        The future raises ``BrokenExecutor`` if its worker dies, ``WorkersAwayError`` and
        ``StorageError`` for what is no fault of the job, else whatever measuring it raises.
        """
        ...

    def replace(self) -> None:
        """Lets go of what is broken; the next job finds it whole."""
        ...

    def close(self) -> None:
        """Ends it; what runs is finished or given up, what waits is cancelled."""
        ...


class Workers:
    """An executor that is made when first needed and made anew when it breaks.

    Args:
        count: how many jobs run at once. make_executor: gives an executor of that many.
    """

    def __init__(self, count: int, make_executor: Callable[[int], Executor] | None = None) -> None:
        self.count = count
        self._make_executor = make_executor or process_pool
        self._executor: Executor | None = None

    @property
    def trouble(self) -> str | None:
        """None: processes of this machine are made when they are needed."""
        return None

    def measure(self, job: MeasureJob) -> Future[MeasureOutcome]:
        """See ``Engine.measure``."""
        return self.submit(run_job, job)

    def submit(self, job: Callable[[Job], Outcome], argument: Job) -> Future[Outcome]:
        """Hands a job out; the future raises ``BrokenExecutor`` if its worker dies."""
        if self._executor is None:
            self._executor = self._make_executor(self.count)
        try:
            return self._executor.submit(job, argument)
        except BrokenExecutor:
            self.replace()
            return self.submit(job, argument)

    def replace(self) -> None:
        """Lets go of a broken executor; the next job gets a new one."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def close(self) -> None:
        """Waits for what runs, cancels what waits."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


def process_pool(workers: int) -> Executor:
    """A pool of spawned processes, one numeric thread each.

    The variables are set here, in the parent, because a spawned process reads them when it
    imports numpy, which is before any initializer of ours runs.
    """
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    return ProcessPoolExecutor(
        max_workers=workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_live_with_the_parent,
    )


def _live_with_the_parent() -> None:
    """Interrupts are the parent's; a parent that was killed takes its workers along.

    Nothing else ends them: a worker holds both ends of the queue it waits on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is always somebody's child"
    threading.Thread(target=_end_after, args=(parent,), name="bifurk-orphan", daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
