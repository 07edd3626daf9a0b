"""A connection to the scheduler that is made again for as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from distributed import Client

import bifurk
from bifurk_service.pipeline.cluster.device import LABEL

log = logging.getLogger("bifurk.service")

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 15.0
"""A scheduler that is silent for so long, or somebody else at its port, is away."""
RETRY_SECONDS: Final = 1.0
RECONNECT_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 1.0
"""How often the workers are counted, and new ones asked for their bifurk."""

NOT_YET: Final = "the Dask scheduler was not reached yet"
AWAY: Final = "the Dask scheduler is away"
NO_WORKERS: Final = "the Dask scheduler has no workers"
OTHER_RELEASE: Final = "a Dask worker has another bifurk"


class Connection:
    """What is known of the cluster; lives in one event loop, read from any thread.

    Attributes:
        client: None while the scheduler is away. slots: tasks that run at once. labelled: how many
            of these on workers with a GPU.
        trouble: why nothing can be handed out, None where it can.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.client: Client | None = None
        self.slots = self.labelled = 0
        self.trouble: str | None = NOT_YET

    @property
    def usable(self) -> bool:
        """Whether tasks can be handed out."""
        return self.trouble is None

    async def keep(self) -> None:
        """Connects, looks on, and connects again, until cancelled."""
        while True:
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever a scheduler or its stranger says
                self._say(AWAY, f"{type(error).__name__}: {error}")
            await asyncio.sleep(RETRY_SECONDS)

    async def _connect(self) -> None:
        client = Client(
            self.address,
            asynchronous=True,
            timeout=CONNECT_SECONDS,
            set_as_default=False,
            direct_to_workers=True,
            name="bifurk",
        )
        try:
            await asyncio.wait_for(client, ANSWER_SECONDS)
            self.client = client
            await self._look_on(client)
            self._say(AWAY, "it did not come back")
        finally:
            self.client, self.slots, self.labelled = None, 0, 0
            await _close(client)

    async def _look_on(self, client: Client) -> None:
        """Until the client has given up connecting again, which it tries by itself at first."""
        known: dict[str, str | None] = {}
        labels: dict[str, int] = {}
        while client.status != "closed":
            if client.status != "running":
                self._say(AWAY, "the connection was lost")
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            threads: Mapping[str, int] = await asyncio.wait_for(client.nthreads(), ANSWER_SECONDS)
            known = {worker: told for worker, told in known.items() if worker in threads}
            known |= await _releases(client, [one for one in threads if one not in known])
            if threads.keys() != labels.keys():
                labels = await _labels(client, threads)
            self.slots, self.labelled = sum(threads.values()), sum(labels.values())
            self._judge(known)
            await asyncio.sleep(LOOK_SECONDS)

    def _judge(self, releases: Mapping[str, str | None]) -> None:
        strange = {w: told for w, told in releases.items() if told != bifurk.__version__}
        if strange:
            worker, told = next(iter(strange.items()))
            self._say(
                OTHER_RELEASE,
                f"{worker} has {f'bifurk {told}' if told else 'no bifurk'}, this server "
                f"{bifurk.__version__}; install the same on both, or stop that worker "
                f"({len(strange)} of {len(releases)} workers)",
            )
        elif not releases:
            self._say(NO_WORKERS, f"start `dask worker {self.address}`")
        else:
            self._say(None)

    def _say(self, trouble: str | None, detail: str = "") -> None:
        """One line of the log a change of state; addresses and errors are for the log alone."""
        before, self.trouble = self.trouble, trouble
        if trouble is None and before is not None:
            log.info("measuring on the Dask cluster at %s, %d at once", self.address, self.slots)
        elif trouble is not None and trouble != before:
            log.warning("snapshots wait, %s (%s): %s", trouble, self.address, detail)


async def _releases(client: Client, workers: list[str]) -> dict[str, str | None]:
    """The bifurk of each worker, None where there is none; without those that do not answer.

    It is asked through the standard library, which every worker can unpickle.
    """
    if not workers:
        return {}
    asked = client.run(version, "bifurk", workers=workers, on_error="return")
    try:
        told = await asyncio.wait_for(asked, ANSWER_SECONDS)
    except TimeoutError:
        return {}
    return {
        worker: answer if isinstance(answer, str) else None
        for worker, answer in told.items()
        if isinstance(answer, str | PackageNotFoundError)
    }


async def _labels(client: Client, threads: Mapping[str, int]) -> dict[str, int]:
    """How many tasks for a GPU each of these workers runs at once."""
    told: Mapping[str, Any] = await asyncio.wait_for(client.scheduler.identity(), ANSWER_SECONDS)
    resources = {worker: one["resources"] for worker, one in told["workers"].items()}
    return {
        worker: min(slots, int(resources.get(worker, {}).get(LABEL, 0)))
        for worker, slots in threads.items()
    }


async def _close(client: Client) -> None:
    try:
        await client.close(CONNECT_SECONDS)
    except Exception as error:  # noqa: BLE001 - it is thrown away
        log.debug("closing the connection to the Dask scheduler: %r", error)
