"""The spectra of one snapshot, handed out within its time: large matrices to workers with GPUs."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import distributed
from distributed import Client

from bifurk_service.pipeline.cluster.connection import LOOK_SECONDS, Connection
from bifurk_service.pipeline.cluster.results import AWAY, result
from bifurk_service.pipeline.cluster.tasks import Groups
from bifurk_service.pipeline.workers import WorkersAwayError

Names: TypeAlias = tuple[str, ...]

PATIENCE_SECONDS: Final = LOOK_SECONDS
"""How often it is looked whether somebody is left who may have what was handed out to GPUs."""


class Lanes:
    """Two queues, of large matrices and of all others, and what of them is under way.

    Args:
        submit: hands one group out, as a large matrix or not, and gives its future.
    """

    def __init__(
        self,
        connection: Connection,
        client: Client,
        groups: Groups,
        *,
        submit: Callable[[Names, bool], Any],
    ) -> None:
        self._connection = connection
        self._client = client
        self._submit = submit
        self._large = deque(groups.large)
        self._rest = deque(groups.rest)
        self._running: dict[Names, bool] = {}
        self._futures: dict[Names, Any] = {}

    @property
    def futures(self) -> Sequence[Any]:
        """Of the groups that were handed out, in that order."""
        return list(self._futures.values())

    @property
    def left_out(self) -> list[str]:
        """Names of the matrices that the time did not reach."""
        return [name for names in (*self._large, *self._rest) for name in names]

    async def hand_out(self, *, budget_seconds: float) -> None:
        """Hands groups out in the plan's order for so long; what is handed out is measured.

        So no more at once than the cluster runs at once, and one. The time begins when the first
        of them is done. Returns once nothing waits for workers that may be gone.
        """
        ends = math.inf
        while (self._large or self._rest) and time.monotonic() < ends:
            if not self._hand_out_next() and await self._some_done():
                ends = min(ends, time.monotonic() + budget_seconds)
        while any(self._running.values()):
            await self._some_done()

    def _hand_out_next(self) -> bool:
        """False where there is no room for any that waits."""
        labelled = self._connection.labelled
        running = Counter(self._running.values())
        others = self._rest if labelled or not self._large else self._large
        if labelled and self._large and running[True] <= labelled:
            self._begin(self._large.popleft(), large=True)
        elif others and running[False] <= self._connection.slots - labelled:
            self._begin(others.popleft(), large=False)
        else:
            return False
        return True

    def _begin(self, names: Names, *, large: bool) -> None:
        self._futures[names] = self._submit(names, large)
        self._running[names] = large

    async def _some_done(self) -> bool:
        """Waits for one that ends, or for the loss of those who should end it.

        Raises:
            WorkersLostError: workers died over one. WorkersAwayError: the cluster is away.
        """
        large = any(self._running.values())
        running = [self._futures[names] for names in self._running]
        with self._client.as_current():
            waiting = distributed.wait(
                running,
                timeout=PATIENCE_SECONDS if large else None,
                return_when="FIRST_COMPLETED",
            )
        try:
            await waiting
        except AWAY as error:
            if not (large and isinstance(error, TimeoutError)):
                raise WorkersAwayError(str(error)) from error
        for future in running:
            if future.status == "error":
                await result(future)
        done = [names for names in self._running if self._futures[names].status != "pending"]
        for names in done:
            del self._running[names]
        if not self._connection.labelled:
            self._take_back()
        return bool(done)

    def _take_back(self) -> None:
        """No worker with a label is left: what was meant for one is anybody's."""
        for names in [names for names, large in self._running.items() if large]:
            self._begin(names, large=False)
