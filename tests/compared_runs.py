"""Runs of one database whose statistics are given as arrays, as if they had been judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select

from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.store.engine import Database
from bifurk_service.store.models import TENSOR_STATS, Snapshot, Tensor
from bifurk_service.store.runs import attempt_of, ensure_run
from tests.written_run import SNAPSHOT

MATRICES = ("a", "b")
GAIN = "gain"
NAMES = (*MATRICES, GAIN)


def write_run(database: Database, name: str) -> int:
    """A run of two matrices and a gain; its id."""
    with database.write() as session:
        run = ensure_run(session, project="p", run=name, now=0.0)
        shapes = [[2, 2] if one in MATRICES else [2] for one in NAMES]
        described = {"run_id": run.id, "role": "other", "dtype": "float32"}
        session.execute(
            insert(Tensor),
            [
                {**described, "name": one, "shape": shape}
                for one, shape in zip(NAMES, shapes, strict=True)
            ],
        )
        return run.id


def write_attempt(
    database: Database,
    run: str,
    attempt: str,
    steps: Sequence[int],
    values: Mapping[str, NDArray[np.float64]],
) -> None:
    """Judged snapshots at some steps: of each statistic float64 [T, N], NaN without a value."""
    with database.write() as session:
        owner = attempt_of(
            session, ensure_run(session, project="p", run=run, now=0.0), attempt, now=0.0
        )
        owner.cursor = len(steps) - 1
        own = {"attempt_id": owner.id}
        snapshots = [
            {**own, "sequence": place, "step": step, **SNAPSHOT} for place, step in enumerate(steps)
        ]
        session.execute(insert(Snapshot), snapshots)
        ids = session.scalars(
            select(Tensor.id).where(Tensor.run_id == owner.run_id).order_by(Tensor.id)
        ).all()
        session.execute(
            insert(TENSOR_STATS),
            [
                {**own, "tensor_id": tensor, "step": step, **_row(values, row, place)}
                for row, tensor in enumerate(ids)
                for place, step in enumerate(steps)
            ],
        )


def condense_all(database: Database) -> None:
    """Everything that is judged, as the pipeline does beside its work."""
    condense_due(database, most_seconds=60)


def _row(values: Mapping[str, NDArray[np.float64]], row: int, place: int) -> dict[str, Any]:
    found = {name: float(table[row, place]) for name, table in values.items()}
    return {name: None if np.isnan(value) else value for name, value in found.items()}
