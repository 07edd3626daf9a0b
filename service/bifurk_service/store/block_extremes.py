"""The extremes of a block that is to be thinned, from its rows and from what is kept already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.stats.extreme_places import extremes_in_cells
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.kept_extremes import BINS, CELL, keep_rows, kept_rows, span
from bifurk_service.store.models import TENSOR_STATS, Attempt, Snapshot, Tensor
from bifurk_service.store.thinning_blocks import Block

NUMBERS_AT_ONCE: Final = 2_000_000
"""Of one reading: some statistics of a block; of 200 tensors and the first stage, all."""


def statistics_at_once(session: Session, block: Block) -> list[Sequence[str]]:
    """The statistics in groups, each to be read and written by itself."""
    tensors = max(1, tensor_count(session, block))
    rows = BINS * span(block.stage) * tensors // span(block.stage - 1)
    size = max(1, NUMBERS_AT_ONCE // rows)
    return [STATISTIC_NAMES[first : first + size] for first in range(0, len(STATISTIC_NAMES), size)]


def tensor_count(session: Session, block: Block) -> int:
    """Of the block's run."""
    return len(_tensor_ids(session, block))


def keep_extremes(session: Session, block: Block, found: Mapping[str, bytes]) -> None:
    """Stores what ``block_extremes`` has found."""
    keep_rows(session, block.attempt_id, found, stage=block.stage, start=block.start)


def block_extremes(session: Session, block: Block, statistics: Sequence[str]) -> dict[str, bytes]:
    """By statistic, what a row of ``kept_extremes`` holds: exact, whatever was thinned before."""
    tensor_ids = _tensor_ids(session, block)
    rows = _whole_rows(session, block, statistics, tensor_ids)
    kept = _kept(session, block, statistics, len(tensor_ids))
    tensors, values, places = (np.concatenate(pair) for pair in zip(rows, kept, strict=True))
    # A kept extreme stands in the bin where its statistic has it: each statistic for itself.
    found = {}
    for index, name in enumerate(statistics):
        known = ~np.isnan(values[:, index])
        bins = places[known, index] // span(block.stage)
        extremes, at = extremes_in_cells(
            bins * len(tensor_ids) + tensors[known],
            values[known, index, None],
            places[known, index, None],
            count=BINS * len(tensor_ids),
        )
        cells = np.zeros((BINS, len(tensor_ids), 2), dtype=CELL)
        cells["value"] = extremes[..., 0].reshape(BINS, -1, 2)
        cells["place"] = at[..., 0].reshape(BINS, -1, 2)
        found[name] = cells.transpose(0, 2, 1).tobytes()
    return found


def _whole_rows(
    session: Session, block: Block, statistics: Sequence[str], tensor_ids: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Of N rows: tensors [N], values [N, S] and places in the block [N, S]."""
    table = TENSOR_STATS.c
    columns = [func.coalesce(table[name], float("inf")) for name in statistics]
    rows = session.connection().execute(
        select(table.tensor_id, Snapshot.sequence - block.start, *columns)
        .join(Snapshot, (Snapshot.attempt_id == table.attempt_id) & (Snapshot.step == table.step))
        .where(
            table.attempt_id == block.attempt_id,
            Snapshot.sequence >= block.start,
            Snapshot.sequence < block.end,
        )
    )
    read = cast("Iterable[tuple[float, ...]]", rows.cursor)
    flat = np.fromiter(chain.from_iterable(read), dtype=np.float64)
    found = flat.reshape(-1, 2 + len(statistics))
    values = np.where(np.isinf(found[:, 2:]), np.nan, found[:, 2:])
    places = np.repeat(found[:, 1:2].astype(np.int64), len(statistics), axis=1)
    return np.searchsorted(tensor_ids, found[:, 0].astype(np.int64)), values, places


def _kept(
    session: Session, block: Block, statistics: Sequence[str], tensors: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """As ``_whole_rows``, from rows of this stage and of the earlier ones."""
    every = kept_rows(session, block.attempt_id, statistics, start=block.start, end=block.end)
    rows = [[row for row in every[name] if row.stage <= block.stage] for name in statistics]
    count = max(len(found) for found in rows)
    values = np.full((count, 2 * BINS, tensors, len(statistics)), np.nan)
    places = np.zeros(values.shape, dtype=np.int64)
    for index, of_statistic in enumerate(rows):
        for number, row in enumerate(of_statistic):
            cells = row.cells.reshape(2 * BINS, -1)
            values[number, :, : cells.shape[1], index] = cells["value"]
            places[number, :, : cells.shape[1], index] = (
                cells["place"].astype(np.int64) + row.start - block.start
            )
    of = np.tile(np.arange(tensors), count * 2 * BINS)
    shape = (-1, len(statistics))
    return of, values.reshape(shape), places.reshape(shape)


def _tensor_ids(session: Session, block: Block) -> NDArray[np.int64]:
    query = (
        select(Tensor.id)
        .join(Attempt, Attempt.run_id == Tensor.run_id)
        .where(Attempt.id == block.attempt_id)
        .order_by(Tensor.id)
    )
    return np.array(session.scalars(query).all(), dtype=np.int64)
