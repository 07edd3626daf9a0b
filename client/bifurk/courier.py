"""A thread of its own for what other people's code makes of our news: it may be slow, and raise."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

Job: TypeAlias = Callable[[], None]

MOST_WAITING: Final = 1_000
"""Jobs; who has that many before him gets no more."""

_log = logging.getLogger("bifurk")


class Courier:
    """Runs jobs one after the other on a daemon thread that the first ``start`` brings up.

    Nothing waits for a job but ``flush`` and ``close``. In a forked child nothing runs.

    Args:
        name: of the thread. what: the jobs, for the log.
    """

    def __init__(self, name: str, *, what: str) -> None:
        self._name = name
        self._what = what
        self._process = os.getpid()
        self._condition = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._closed = False
        self._given_up = False
        self._put = 0
        self._done = 0
        self.dropped = 0
        """Jobs that found too many before them."""
        self.cpu_seconds = 0.0
        """Processor time of the thread so far."""

    def start(self) -> None:
        """Brings the thread up; again is no error."""
        with self._condition:
            if self._thread is None and not self._closed and os.getpid() == self._process:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def put(self, job: Job) -> None:
        """Queues a job; returns at once. After the close, and before a start, it is not run."""
        if os.getpid() != self._process:
            return
        with self._condition:
            if self._thread is None or self._closed:
                return
            if len(self._jobs) < MOST_WAITING:
                self._jobs.append(job)
                self._put += 1
                self._condition.notify_all()
                return
            self.dropped += 1
            first = self.dropped == 1
        if first:
            _log.warning("%s are slower than the news: from now on some are left out", self._what)

    @property
    def at_work(self) -> bool:
        """Whether the caller is one of the jobs."""
        return self._thread is threading.current_thread()

    def flush(self, deadline_seconds: float) -> bool:
        """Whether all that is queued by now has run within ``deadline_seconds``.

        Called by a job, it waits for nothing, and says so.
        """
        if os.getpid() != self._process:
            return True
        with self._condition:
            put = self._put
            if self.at_work:
                return self._done + 1 >= put
            self._condition.wait_for(lambda: self._done >= put or self._given_up, deadline_seconds)
            return self._done >= put

    def close(self, deadline_seconds: float) -> bool:
        """Whether all that was queued has run within ``deadline_seconds``; the rest never does.

        Called by a job, it waits for nothing: what is queued behind that still runs.
        """
        end = time.monotonic() + deadline_seconds
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            thread = self._thread
        if thread is None or self.at_work or os.getpid() != self._process:
            return True
        thread.join(max(0.0, end - time.monotonic()))
        with self._condition:
            left = len(self._jobs) + self._busy
            self._jobs.clear()
            self._given_up = True
            self._condition.notify_all()
        if left:
            _log.warning("%s have not ended in time: %d times", self._what, left)
        return not left

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - on this thread an exit would end it alone
                _log.error("%s failed", self._what, exc_info=error)
            del job
            self.cpu_seconds = time.thread_time()

    def _next(self) -> Job | None:
        with self._condition:
            self._done += self._busy
            self._busy = False
            self._condition.notify_all()
            while not self._jobs:
                if self._closed:
                    return None
                self._condition.wait()
            self._busy = True
            return self._jobs.popleft()
