"""One snapshot on a cluster: what is handed out when, and what its failures mean."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import bifurk
from bifurk_service.errors import StorageError
from bifurk_service.pipeline.cluster.connection import Connection
from bifurk_service.pipeline.cluster.device import LABEL
from bifurk_service.pipeline.cluster.lanes import Lanes, Names
from bifurk_service.pipeline.cluster.results import result
from bifurk_service.pipeline.cluster.tasks import (
    Groups,
    assemble,
    begin,
    describe_rest,
    large_spectra,
    packed,
    spectra,
)
from bifurk_service.pipeline.measuring import MeasureJob, MeasureOutcome
from bifurk_service.pipeline.workers import WorkersAwayError
from bifurk_service.stats.spectra.plan import SpectraPlan
from bifurk_service.store.blobs import open_blobs

BLOBS_SECONDS: Final = 30


async def measured(
    connection: Connection, job: MeasureJob, *, task_seconds: float, large_seconds: float
) -> MeasureOutcome:
    """The outcome of a job, equal to what ``run_job`` gives where time does not bind.

    Raises:
        WorkersLostError: workers died over it. WorkersAwayError: the cluster is away.
        StorageError: a worker does not reach the blobs.
    """
    handed = _Snapshot(connection, job)
    try:
        return await handed.measured(task_seconds, large_seconds)
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

    async def measured(self, task_seconds: float, large_seconds: float) -> MeasureOutcome:
        least = large_seconds if self._connection.labelled else math.inf
        sent = self._submit(begin, packed(self._light), task_seconds, least)
        begun: MeasureOutcome | Groups = await result(sent)
        if not isinstance(begun, Groups):
            return begun
        described = self._submit(describe_rest, packed(self._light))
        lanes = Lanes(self._connection, self._client, begun, submit=self._submit_spectra)
        await lanes.hand_out(budget_seconds=self._job.plan.budget_seconds)
        whole = self._submit(assemble, described, lanes.futures, lanes.left_out)
        outcome: MeasureOutcome = await result(whole)
        return outcome

    def _submit_spectra(self, names: Names, large: bool) -> Any:  # noqa: FBT001 - see ``Lanes``
        if large:
            return self._submit(large_spectra, self._parcel(names), names, label=LABEL)
        return self._submit(spectra, self._parcel(names), names)

    def _parcel(self, names: Sequence[str]) -> bytes:
        """With the vectors that these matrices' are compared with, and no others."""
        vectors = self._job.plan.first_vectors
        plan = SpectraPlan(
            with_vectors=self._job.plan.with_vectors,
            first_vectors={name: vectors[name] for name in names if name in vectors},
        )
        return packed(replace(self._job, plan=plan))

    def _submit(self, task: Callable[..., object], *args: object, label: str | None = None) -> Any:
        """For a worker with this label, or for any.

        No addresses are named, not even as a wish: a task whose workers are all gone when it is to
        run is not given to those that come after them.
        """
        where = {} if label is None else {"resources": {label: 1}}
        return self._client.submit(
            task,
            bifurk.__version__,
            *args,
            pure=False,
            key=f"bifurk-{task.__name__}-{uuid4().hex}",
            priority=-self._job.snapshot_id,
            **where,
        )


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
