"""Runs of one database whose statistics are given as arrays, as if they had been judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select

from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.store.engine import Database
from bifurk_service.store.models import TENSOR_STATS, Snapshot, Tensor
from bifurk_service.store.runs import attempt_of, ensure_run
from tests.written_run import SNAPSHOT

MATRICES = ("h.0.w", "h.1.w")
NAMES = (*MATRICES, "gain")
LONG: Final = 540
"""Snapshots that ``usual`` has at most."""
USUAL: Final = {"std": 0.02, "rms": 0.02, "update_ratio": 1e-3, "stable_rank": 20.0}

Values: TypeAlias = Mapping[str, NDArray[np.float64]]
"""By statistic, of T tensors at N steps, float64 [T, N]."""


def usual(length: int) -> dict[str, NDArray[np.float64]]:
    """Of three tensors; a course begins as every other does."""
    random = np.random.default_rng(1)
    wander = np.exp(0.02 * random.standard_normal((LONG, len(USUAL), 3)))
    return {
        name: value * wander[:length, column].T
        for column, (name, value) in enumerate(USUAL.items())
    }


def faulty(length: int) -> Values:
    """The std of one matrix stays apart from 40 snapshots before the end on; others do not."""
    values = usual(length)
    values["std"][0, length - 40 :] *= 3.0
    values["std"][0, length - 20] /= 3.0
    values["rms"][1, 70] *= 50.0
    values["rms"][1, 80:90] *= 3.0
    values["update_ratio"][0, 66 : length - 9] = np.nan
    values["update_ratio"][0, 60:] *= 5.0
    values["stable_rank"][1, 12:] *= 4.0
    values["stable_rank"][1, 77] = 20.0
    values["std"][2, 37:] *= 1.001
    return values


def write_run(database: Database, name: str) -> int:
    """A run of two matrices and a gain; its id."""
    with database.write() as session:
        run = ensure_run(session, project="p", run=name, now=0.0)
        shapes = [[2, 2] if one in MATRICES else [2] for one in NAMES]
        described = {"run_id": run.id, "role": "other", "dtype": "float32"}
        session.execute(
            insert(Tensor),
            [
                {**described, "name": one, "shape": shape, "layer": layer}
                for one, shape, layer in zip(NAMES, shapes, (0, 1, None), strict=True)
            ],
        )
        return run.id


def write_attempt(
    database: Database,
    run: str,
    attempt: str,
    steps: Sequence[int],
    values: Values,
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


def _row(values: Values, row: int, place: int) -> dict[str, Any]:
    found = {name: float(table[row, place]) for name, table in values.items()}
    return {name: None if np.isnan(value) else value for name, value in found.items()}
