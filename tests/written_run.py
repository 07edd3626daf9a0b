"""A run whose statistics are written by hand, as if they had been judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import insert

from bifurk_service.store.condensing import forget_condensed
from bifurk_service.store.engine import Database
from bifurk_service.store.models import TENSOR_STATS, Attempt, Snapshot, Tensor
from bifurk_service.store.runs import attempt_of, ensure_run

SNAPSHOT = {
    "off_grid": False,
    "state": "judged",
    "tries": 0,
    "expected_parts": 1,
    "received_parts": 1,
    "coverage": 1.0,
    "wall_clock": 0.0,
    "received_at": 0.0,
    "measured_at": 1.0,
    "learning_rates": [],
    "spectra_skipped": 0,
}


class WrittenRun:
    """A run of some tensors, of which two statistics are written by hand."""

    def __init__(self, database: Database, tensors: int = 2) -> None:
        self.database = database
        self.values: dict[tuple[int, int], float] = {}
        with database.write() as session:
            self.id = ensure_run(session, project="p", run="r", now=0.0).id
        self.attempt = self.begin("first")
        self.tensors = [self.add_tensor(f"w{place}") for place in range(tensors)]

    def begin(self, attempt: str) -> int:
        with self.database.write() as session:
            run = ensure_run(session, project="p", run="r", now=0.0)
            return attempt_of(session, run, attempt, now=0.0).id

    def add_tensor(self, name: str, role: str = "other") -> int:
        with self.database.write() as session:
            tensor = Tensor(run_id=self.id, name=name, role=role, shape=[2], dtype="float32")
            session.add(tensor)
            session.flush()
            return tensor.id

    def judge(self, sequences: Sequence[int], *, attempt: int | None = None) -> None:
        """Steps are ten times the sequence; one value in eleven is missing."""
        attempt = attempt or self.attempt
        random = np.random.default_rng([attempt, *sequences[:1]])
        rows = []
        for sequence in sequences:
            for tensor in self.tensors:
                value = None if random.random() < 1 / 11 else float(random.standard_cauchy())
                row = {"tensor_id": tensor, "attempt_id": attempt, "step": 10 * sequence}
                rows.append({**row, "std": value, "mean": -1.0})
                self.values[tensor, 10 * sequence] = np.nan if value is None else value
        with self.database.write() as session:
            owner = session.get_one(Attempt, attempt)
            for sequence in sequences:
                forget_condensed(session, owner, sequence)
            owner.cursor = max(owner.cursor, *sequences)
            session.execute(
                insert(Snapshot),
                [
                    {"attempt_id": attempt, "sequence": one, "step": 10 * one, **SNAPSHOT}
                    for one in sequences
                ],
            )
            session.execute(insert(TENSOR_STATS), rows)
