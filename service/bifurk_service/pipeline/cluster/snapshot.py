"""One snapshot on a cluster: what is handed out when, and what its failures mean."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import distributed
from distributed import Client
from distributed.client import FutureCancelledError, FuturesCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

import bifurk
from bifurk_service.errors import StorageError
from bifurk_service.pipeline.cluster.connection import Connection
from bifurk_service.pipeline.cluster.tasks import (
    Groups,
    Raised,
    assemble,
    begin,
    describe_rest,
    packed,
    spectra,
    unpacked,
)
from bifurk_service.pipeline.measuring import MeasureJob, MeasureOutcome
from bifurk_service.pipeline.workers import WorkersAwayError, WorkersLostError
from bifurk_service.stats.spectra.plan import SpectraPlan
from bifurk_service.store.blobs import open_blobs

AWAY: Final = (FutureCancelledError, FuturesCancelledError, CommClosedError, OSError, TimeoutError)
"""What Dask raises when the scheduler, or the way to it, is lost."""
BLOBS_SECONDS: Final = 30
OTHER_CODE: Final = (ImportError, AttributeError)
"""What unpickling a task raises on a worker that has another bifurk, or none."""


async def measured(
    connection: Connection, job: MeasureJob, *, task_seconds: float
) -> MeasureOutcome:
    """The outcome of a job, equal to what ``run_job`` gives where time does not bind.

    Raises:
        WorkersLostError: workers died over it. WorkersAwayError: the cluster is away.
        StorageError: a worker does not reach the blobs.
    """
    handed = _Snapshot(connection, job)
    try:
        return await handed.measured(task_seconds)
    except FileNotFoundError as error:
        await asyncio.to_thread(_blame_the_worker, job, error)
        raise


class _Snapshot:
    def __init__(self, connection: Connection, job: MeasureJob) -> None:
        if connection.client is None or connection.client.status != "running":
            raise WorkersAwayError(connection.trouble)
        self._connection = connection
        self._client = connection.client
        self._job = job
        self._light = replace(job, plan=replace(job.plan, first_vectors={}))

    async def measured(self, task_seconds: float) -> MeasureOutcome:
        sent = self._submit(begin, packed(self._light), task_seconds)
        begun: MeasureOutcome | Groups = await _result(sent)
        if not isinstance(begun, Groups):
            return begun
        described = self._submit(describe_rest, packed(self._light))
        groups = await self._within_budget(begun.names)
        left_out = [name for names in begun.names[len(groups) :] for name in names]
        whole = self._submit(assemble, described, groups, left_out)
        outcome: MeasureOutcome = await _result(whole)
        return outcome

    async def _within_budget(self, groups: Sequence[Sequence[str]]) -> list[Any]:
        """Futures of the groups' spectra, of as many as there was time for.

        What is handed out is measured: so no more at once than the cluster runs at once, and one.
        The time begins when the first of them is done.
        """
        futures: list[Any] = []
        running: set[Any] = set()
        ends = math.inf
        while len(futures) < len(groups) and time.monotonic() < ends:
            names = groups[len(futures)]
            futures.append(self._submit(spectra, self._parcel(names), names))
            running.add(futures[-1])
            if len(running) > self._connection.slots:
                running -= await _some_done(self._client, running)
                ends = min(ends, time.monotonic() + self._job.plan.budget_seconds)
        return futures

    def _parcel(self, names: Sequence[str]) -> bytes:
        """With the vectors that these matrices' are compared with, and no others."""
        vectors = self._job.plan.first_vectors
        plan = SpectraPlan(
            with_vectors=self._job.plan.with_vectors,
            first_vectors={name: vectors[name] for name in names if name in vectors},
        )
        return packed(replace(self._job, plan=plan))

    def _submit(self, task: Callable[..., object], *args: object) -> Any:
        return self._client.submit(
            task,
            bifurk.__version__,
            *args,
            pure=False,
            key=f"bifurk-{task.__name__}-{uuid4().hex}",
            priority=-self._job.snapshot_id,
        )


async def _some_done(client: Client, running: set[Any]) -> set[Any]:
    """Those that are done, at least one; raises what Dask says of one that failed."""
    with client.as_current():
        waiting = distributed.wait(list(running), return_when="FIRST_COMPLETED")
    try:
        done: set[Any] = set((await waiting).done)
    except AWAY as error:
        raise WorkersAwayError(str(error)) from error
    for future in done:
        if future.status == "error":
            await _result(future)
    return done


async def _result(future: Any) -> Any:
    """What a task gives back; what it raised; or what became of it."""
    try:
        sent = await future
    except KilledWorker as error:
        raise WorkersLostError(str(error), times=error.allowed_failures + 1) from error
    except AWAY as error:
        raise WorkersAwayError(str(error)) from error
    except OTHER_CODE as error:
        raise WorkersAwayError(f"a worker has not this server's bifurk: {error!r}") from error
    except Exception as error:
        raise WorkersLostError(f"Dask could not run it: {error!r}") from error
    given = unpacked(sent)
    if isinstance(given, Raised):
        given.error.add_note(f"on {given.host}")
        raise given.error
    return given


def _blame_the_worker(job: MeasureJob, error: FileNotFoundError) -> None:
    """A blob that this process finds is not gone: the worker looks elsewhere.

    Raises:
        StorageError: says so.
    """
    blobs = open_blobs(job.blob_url)
    try:
        for ref in job.parts:
            blobs.get(ref.key)
    except FileNotFoundError:
        return
    raise StorageError(
        f"a worker of the cluster does not find under {job.blob_url} what this server finds there: "
        f"{error}; set BIFURK_BLOB_URL to what every machine reaches, such as s3://BUCKET/PREFIX, "
        "or share the folder under the same path",
        retry_after_seconds=BLOBS_SECONDS,
    ) from error
