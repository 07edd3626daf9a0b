"""A run's statistics as one table, read in stretches of bounded size: a row a tensor a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.store.engine import Database
from bifurk_service.store.models import Tensor
from bifurk_service.store.runs import attempt_slug
from bifurk_service.store.series import stretch_query
from bifurk_service.store.timeline import timeline

_Read: TypeAlias = tuple[int, int, list[tuple[float, ...]]]
"""Rows of one tensor in one stretch, by their places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSelection:
    """What is read: statistics [K] of tensors between two steps, both included.

    Of the run's course, or of one attempt.
    """

    tensors: Sequence[Tensor]
    statistics: Sequence[str]
    first_step: int | None = None
    last_step: int | None = None
    attempt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportRows:
    """N rows: places of their tensors in the selection [N], steps [N], values [N, K] or NaN.

    Attributes:
        attempts: whose snapshots they are of, places in ``names`` [N].
    """

    tensors: NDArray[np.int32]
    attempts: NDArray[np.int32]
    names: Sequence[str]
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
        stretches = timeline(session, run_id, selection.attempt)
        names = [attempt_slug(session, stretch.attempt_id) for stretch in stretches]
    waiting: list[_Read] = []
    room = most_rows
    for place, tensor in enumerate(selection.tensors):
        for owner, stretch in enumerate(stretches):
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
                waiting.append((place, owner, rows))
                full = len(rows) == room
                room -= len(rows)
                if full:
                    yield _table(waiting, names, selection)
                    first, waiting, room = int(rows[-1][0]) + 1, [], most_rows
    if room < most_rows:
        yield _table(waiting, names, selection)


def _table(
    waiting: Sequence[_Read], names: Sequence[str], selection: ExportSelection
) -> ExportRows:
    rows = [row for _, _, found in waiting for row in found]
    lengths = [len(found) for _, _, found in waiting]
    return ExportRows(
        tensors=np.repeat(np.array([place for place, _, _ in waiting], dtype=np.int32), lengths),
        attempts=np.repeat(np.array([owner for _, owner, _ in waiting], dtype=np.int32), lengths),
        names=names,
        steps=np.array([row[0] for row in rows], dtype=np.int64),
        values=np.array([row[1:] for row in rows], dtype=np.float64).reshape(
            len(rows), len(selection.statistics)
        ),
    )
