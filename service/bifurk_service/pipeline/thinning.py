"""Keeps runs within the bytes they may take: the oldest is thinned first, a little at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.block_extremes import (
    block_extremes,
    keep_extremes,
    statistics_at_once,
    tensor_count,
)
from bifurk_service.store.engine import Database
from bifurk_service.store.kept_extremes import STAGES
from bifurk_service.store.run_sizes import budgets, run_bytes
from bifurk_service.store.thinning import (
    blobs_of,
    forget,
    forget_superseded,
    going,
    mark_block,
    settled,
)
from bifurk_service.store.thinning_blocks import (
    Block,
    begin_block,
    end_block,
    next_block,
    unfinished_block,
)

log = logging.getLogger("bifurk.service")

MOST_SECONDS: Final = 0.5
"""Between two looks at what has arrived; a block that is begun is finished."""
CHECK_SECONDS: Final = 60.0
"""How often a run that was within its bytes is measured again."""
CELLS_AT_ONCE: Final = 4_000
"""Statistics times tensors, whose shorter extremes go in one transaction: some 10 MB."""
ROWS_AT_ONCE: Final = 2_000
"""That go in one transaction, where snapshots have no more each: a hundredth of a second."""


class Thinner:
    """Thins what is over its budget; for one thread.

    Args:
        database: where the runs are. blobs: those of thinned snapshots are deleted.
        keep_bytes: of runs without a budget of their own; None: they have none.
        monotonic: the clock.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        keep_bytes: int | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._keep_bytes = keep_bytes
        self._monotonic = monotonic
        self._next_look: dict[int, tuple[int, float]] = {}
        self._told: set[int] = set()

    @property
    def over_budget(self) -> int:
        """Runs that are larger than they may be although all is thinned that may be."""
        return len(self._told)

    def run(self, *, most_seconds: float = MOST_SECONDS) -> int:
        """Thins for a while, at least one block where one is due; returns how many blocks."""
        until = self._monotonic() + most_seconds
        with self._database.read() as session:
            limits = budgets(session, default=self._keep_bytes)
        self._told &= {run_id for run_id, _ in limits}
        done = 0
        for run_id, most_bytes in limits:
            if self._is_known_to_fit(run_id, most_bytes):
                continue
            while self._thin_next(run_id, most_bytes):
                done += 1
                if self._monotonic() >= until:
                    return done
        return done

    def _is_known_to_fit(self, run_id: int, most_bytes: int) -> bool:
        limit, then = self._next_look.get(run_id, (-1, 0.0))
        return limit == most_bytes and self._monotonic() < then

    def _thin_next(self, run_id: int, most_bytes: int) -> bool:
        """Whether a block was thinned; a run whose blobs cannot go keeps no other waiting."""
        try:
            return self._is_thinned(run_id, most_bytes)
        except StorageError as error:
            log.warning("run %s is not thinned now: %s", run_id, error.detail)
            self._look_later(run_id, most_bytes)
            return False

    def _is_thinned(self, run_id: int, most_bytes: int) -> bool:
        with self._database.read() as session:
            block = unfinished_block(session, run_id)
            if block is None:
                size = run_bytes(session, run_id)
                block = next_block(session, run_id) if size > most_bytes else None
                self._tell(run_id, size, most_bytes, is_stuck=size > most_bytes and block is None)
        if block is None:
            self._look_later(run_id, most_bytes)
            return False
        self._thin(block)
        return True

    def _look_later(self, run_id: int, most_bytes: int) -> None:
        self._next_look[run_id] = (most_bytes, self._monotonic() + CHECK_SECONDS)

    def _thin(self, block: Block) -> None:
        """Each transaction is small; what a crash interrupts is done again, and comes the same."""
        with self._database.write() as session:
            if not begin_block(session, block):
                return
        with self._database.read() as session:
            groups = statistics_at_once(session, block)
            tensors = tensor_count(session, block)
            among = settled(session, block)
        for statistics in groups:
            with self._database.read() as session:
                found = block_extremes(session, block, statistics)
            with self._database.write() as session:
                keep_extremes(session, block, found)
        with self._database.write() as session:
            mark_block(session, block, among)
        while self._forget_some(block, most=max(1, ROWS_AT_ONCE // (1 + tensors))):
            pass
        self._forget_superseded(block, at_once=max(1, CELLS_AT_ONCE // (1 + tensors)))
        with self._database.write() as session:
            end_block(session, block)

    def _forget_superseded(self, block: Block, *, at_once: int) -> None:
        if block.stage == STAGES[0]:
            return
        for first in range(0, len(STATISTIC_NAMES), at_once):
            with self._database.write() as session:
                forget_superseded(session, block, STATISTIC_NAMES[first : first + at_once])

    def _forget_some(self, block: Block, *, most: int) -> bool:
        with self._database.read() as session:
            snapshots = going(session, block, most=most)
            keys = blobs_of(session, snapshots)
        if not snapshots:
            return False
        for key in keys:
            self._blobs.delete(key)
        with self._database.write() as session:
            forget(session, snapshots)
        return True

    def _tell(self, run_id: int, size: int, most_bytes: int, *, is_stuck: bool) -> None:
        """Once, until it fits again: what is pinned, and what is new, is not sacrificed."""
        if not is_stuck:
            self._told.discard(run_id)
        elif run_id not in self._told:
            self._told.add(run_id)
            log.warning(
                "run %s takes %d bytes and may take %d: all is thinned that may be, the rest is "
                "new, stands at alerts or is pinned",
                run_id,
                size,
                most_bytes,
            )
