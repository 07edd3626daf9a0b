"""The background thread that turns snapshots into requests: counts, part, bytes, delivery."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
import torch

from bifurk import sketch_torch
from bifurk.exact import STORAGE, Exact
from bifurk.guard import Wall
from bifurk.identity import client_versions
from bifurk.lineage import Lineage
from bifurk.losses import LossLedger
from bifurk.sketch import Sketch, key_format
from bifurk.staging import StagedTensor, positions_here
from bifurk.taken import Taken
from bifurk.transport import Request
from bifurk.wire import (
    Manifest,
    Mark,
    Part,
    ScalarSummary,
    TensorPart,
    content_digest,
    encode,
)

THREAD_NAME: Final = "bifurk-encode"


class Encoder:
    """Encodes snapshots one after the other on its own thread.

    Args:
        lineage: whose parts they are.
        deliver: takes each finished request.
        ledger: told of snapshots that could not be encoded, and asked for the loss report.
        wall: what a failure stops at.
        overhead_ratio: measured so far, for the loss report.
        restore_marks: takes back the marks of a snapshot that was lost before it was delivered.
        on_scalars: given the step of every snapshot and what was logged up to it; must not wait.
    """

    def __init__(
        self,
        *,
        lineage: Lineage,
        deliver: Callable[[Request], None],
        ledger: LossLedger,
        wall: Wall,
        overhead_ratio: Callable[[], float | None],
        restore_marks: Callable[[Sequence[Mark]], None],
        on_scalars: Callable[[int, Mapping[str, ScalarSummary]], None],
    ) -> None:
        self._lineage = lineage
        self._deliver = deliver
        self._ledger = ledger
        self._wall = wall
        # When the other one has closed, what it no longer lets through is counted behind this one.
        self._outer_wall = Wall(failures_in_a_row=None)
        self._overhead_ratio = overhead_ratio
        self._restore_marks = restore_marks
        self._on_scalars = on_scalars
        self._versions = client_versions()
        self._counter = sketch_torch.Counter()
        # SimpleQueue, because a finaliser may put into it at any moment.
        self._queue: queue.SimpleQueue[Taken | Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._current: Taken | None = None
        self._closed = False
        self._given_up = False
        self._thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
        self.cpu_seconds = 0.0
        """Processor time of the thread so far."""

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def submit(self, taken: Taken) -> None:
        """Queues a snapshot; returns at once. Behind the end it is lost."""
        if not self._queued(taken):
            self._lose(taken, "unencoded_at_close")
            taken.snapshot.release()

    def call(self, job: Callable[[], None]) -> None:
        """Queues something else to be done on the thread, in order; it must not raise."""
        self._queue.put(job)

    def drain(self, deadline_seconds: float) -> bool:
        """Whether all that was queued before is encoded within ``deadline_seconds``."""
        if not self._thread.is_alive():
            return True
        done = threading.Event()
        if self._queued(done.set):
            return done.wait(deadline_seconds)
        # Behind the end nothing is done any more; what came before it is with the thread.
        self._thread.join(deadline_seconds)
        return not self._thread.is_alive()

    @property
    def at_work(self) -> bool:
        """Whether the caller runs on the encoder's thread."""
        return threading.current_thread() is self._thread

    def close(self, deadline_seconds: float) -> bool:
        """Whether all is encoded, and the thread over, within ``deadline_seconds``.

        What is not encoded by then is counted as ``unencoded_at_close`` and never delivered.
        """
        with self._lock:
            self._closed = True
            self._queue.put(None)
        if self.at_work:
            return True
        self._thread.join(deadline_seconds)
        if self._thread.is_alive():
            self._give_up()
        return not self._thread.is_alive()

    def _queued(self, item: Taken | Callable[[], None]) -> bool:
        """Puts it before the end; False behind it."""
        with self._lock:
            if not self._closed:
                self._queue.put(item)
            return not self._closed

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Taken):
                self._outer_wall.run(self._process, item)
            else:
                item()
            self.cpu_seconds = time.thread_time()
            del item

    def _process(self, taken: Taken) -> None:
        with self._lock:
            self._current = taken
            too_late = self._given_up
        try:
            if not too_late:
                self._wall.run(self._encode_or_count, taken)
            if self._claim(taken):
                self._lose(taken, "unencoded_at_close" if too_late else "switched_off")
        finally:
            taken.snapshot.release()

    def _encode_or_count(self, taken: Taken) -> None:
        try:
            request = self._encode(taken)
        except BaseException:
            if self._claim(taken):
                self._lose(taken, "encode_failed")
            raise
        finally:
            taken.snapshot.release()
        if self._claim(taken):
            self._deliver(request)
            if taken.marks and self._ledger.lost(taken.sequence):
                self._restore_marks(taken.marks)

    def _claim(self, taken: Taken) -> bool:
        """Whether the snapshot's fate is still open; it is the caller's then, and nobody else's."""
        with self._lock:
            is_open = self._current is taken
            self._current = None
        return is_open

    def _lose(self, taken: Taken, reason: str) -> None:
        self._restore_marks(taken.marks)
        self._ledger.drop(reason, taken.sequence)

    def _give_up(self) -> None:
        with self._lock:
            self._given_up = True
            current, self._current = self._current, None
        waiting = self._take_waiting()
        # The latest first: each puts its marks before those that are there.
        for taken in reversed(waiting):
            self._lose(taken, "unencoded_at_close")
            taken.snapshot.release()
        if current is not None:
            self._lose(current, "unencoded_at_close")

    def _take_waiting(self) -> list[Taken]:
        """The snapshots in the queue; what else is in it stays."""
        items = []
        with suppress(queue.Empty):
            while True:
                items.append(self._queue.get_nowait())
        for item in items:
            if not isinstance(item, Taken):
                self._queue.put(item)
        return [item for item in items if isinstance(item, Taken)]

    def _encode(self, taken: Taken) -> Request:
        identity = self._lineage.of(taken.sequence).identity
        tensors = tuple(self._tensor(staged) for staged in taken.snapshot.tensors())
        manifest = self._manifest(taken)
        self._on_scalars(taken.step, manifest.scalars)
        body = encode(Part(manifest=manifest, tensors=tensors))
        return Request(
            method="PUT",
            path=identity.part_path(taken.step),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Encoding": "zstd",
                "Content-Digest": content_digest(body),
                **identity.headers,
            },
            body=body,
            sequence=taken.sequence,
        )

    def _manifest(self, taken: Taken) -> Manifest:
        life = self._lineage.of(taken.sequence)
        identity = life.identity
        return Manifest(
            project=identity.project,
            run=identity.run,
            attempt=identity.attempt,
            step=taken.step,
            sequence=life.sequence(taken.sequence),
            rank=identity.rank.rank,
            expected_parts=identity.parts,
            previous_step=taken.previous_step,
            off_grid=taken.off_grid,
            wall_clock_seconds=taken.wall_clock_seconds,
            display_name=identity.display_name,
            optimizer=taken.optimizer,
            optimizer_settings=taken.optimizer_settings,
            learning_rates=tuple(float(rate) for rate in taken.learning_rates),
            scalars=taken.scalars.summaries(),
            marks=taken.marks,
            loss_report=self._ledger.report(self._overhead_ratio(), first=life.first),
            client=self._versions,
        )

    def _tensor(self, staged: StagedTensor) -> TensorPart:
        watched = staged.watched
        own = watched.dtype
        return TensorPart(
            name=watched.name,
            shape=watched.shape,
            dtype=own,
            role=watched.role,
            layer=watched.layer,
            counts=self._counts(staged),
            values=None if staged.values is None else exact(staged.values, own),
            sample=_sample(staged),
            full=None if staged.full is None else exact(staged.full, own),
            packing=watched.packing,
            product=watched.product,
            placement=watched.placement,
        )

    def _counts(self, staged: StagedTensor) -> Sketch | None:
        if staged.table is not None:
            return sketch_torch.sketch_table(staged.table, key_format(staged.watched.dtype))
        values = staged.keys if staged.keys is not None else staged.full
        return None if values is None else sketch_torch.sketch(values, counter=self._counter)


def exact(values: torch.Tensor, dtype: str) -> Exact:
    """The values of a CPU tensor of this dtype, sharing its memory."""
    bits = values.view(torch.int16) if dtype == "bfloat16" else values
    return Exact(dtype=dtype, data=bits.numpy().view(STORAGE[dtype]))


def _sample(staged: StagedTensor) -> Exact | None:
    watched = staged.watched
    if staged.sample is not None:
        # Of a small shard of a large tensor it may be that none lie in it.
        return exact(staged.sample, watched.dtype) if staged.sample.numel() else None
    held = staged.full if staged.full is not None else staged.keys
    if held is None:
        return None
    positions = positions_here(watched.shape, watched.placement)
    if not positions.size:
        return None
    everything = exact(held, watched.dtype)
    return Exact(dtype=watched.dtype, data=np.take(everything.data, positions))
