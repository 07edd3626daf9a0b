"""A run's statistics as one table, read in stretches of bounded size: a row a tensor a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bifurk_service.store.engine import Database
from bifurk_service.store.models import Tensor
from bifurk_service.store.series import stretch_query, timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSelection:
    """What is read: statistics [K] of tensors between two steps, both included."""

    tensors: Sequence[Tensor]
    statistics: Sequence[str]
    first_step: int | None = None
    last_step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportRows:
    """N rows: places of their tensors in the selection [N], steps [N], values [N, K] or NaN."""

    tensors: NDArray[np.int32]
    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def export_rows(
    database: Database, run_id: int, selection: ExportSelection, *, most_rows: int
) -> Iterator[ExportRows]:
    """The rows by tensor and step, at most ``most_rows`` at a time.

    Each read is a session of its own: a slow receiver holds no transaction open. So rows of a run
    that is resumed meanwhile may come from before and after, and of one that is deleted fewer.
    """
    with database.read() as session:
        stretches = timeline(session, run_id)
    waiting: list[tuple[int, list[tuple[float, ...]]]] = []
    room = most_rows
    for place, tensor in enumerate(selection.tensors):
        for stretch in stretches:
            first, full = selection.first_step, True
            while full:
                query = stretch_query(
                    selection.statistics,
                    tensor.id,
                    stretch,
                    first_step=first,
                    last_step=selection.last_step,
                ).limit(room)
                with database.read() as session:
                    rows = [tuple(row) for row in session.execute(query)]
                waiting.append((place, rows))
                full = len(rows) == room
                room -= len(rows)
                if full:
                    yield _table(waiting, selection)
                    first, waiting, room = int(rows[-1][0]) + 1, [], most_rows
    if room < most_rows:
        yield _table(waiting, selection)


def _table(
    waiting: Sequence[tuple[int, list[tuple[float, ...]]]], selection: ExportSelection
) -> ExportRows:
    rows = [row for _, found in waiting for row in found]
    return ExportRows(
        tensors=np.repeat(
            np.array([place for place, _ in waiting], dtype=np.int32),
            [len(found) for _, found in waiting],
        ),
        steps=np.array([row[0] for row in rows], dtype=np.int64),
        values=np.array([row[1:] for row in rows], dtype=np.float64).reshape(
            len(rows), len(selection.statistics)
        ),
    )
