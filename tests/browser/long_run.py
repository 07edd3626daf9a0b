"""A run of ten thousand snapshots, whose names are anything: written straight into the store."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sqlalchemy import insert

from bifurk_service.domain import AttemptState
from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    Series,
    SeriesPoint,
    Snapshot,
    Tensor,
)
from bifurk_service.store.runs import attempt_of, ensure_run, set_attempt_state
from tests.server import Server
from tests.written_run import SNAPSHOT

SNAPSHOTS = 10_000
EVERY = 10
FORMULA = r"$$\frac{a}{b}$$ and \(x\)"
NAMES = (f"blocks.0.{FORMULA}.weight", f"blocks.1.{FORMULA}.weight")
LOSS = f"loss {FORMULA}"
PROBABILITIES = {
    f"quantile_p{name}": float(name.replace("_", ".")) / 100
    for name in ("0_1", "1", "5", "25", "50", "75", "95", "99", "99_9")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRun:
    """Its id, that of its first tensor, and of its attempt, which is running."""

    database: Database
    id: int
    tensor: int
    attempt: int

    def grow(self, role: str, scalar: str) -> None:
        """Adds a tensor and a scalar, and ends the attempt, which the stream tells."""
        with self.database.write() as session:
            session.add(_tensor(self.id, f"late.{role}", role=role, layer=None))
            session.add(Series(run_id=self.id, name=scalar))
            attempt = session.get_one(Attempt, self.attempt)
            set_attempt_state(session, attempt, AttemptState.FINISHED, now=time.time())


def write_long_run(server: Server) -> LongRun:
    """Writes it beside the running server."""
    database = Database(Settings(data_dir=server.data_dir).resolved_database_url)
    steps = (EVERY * np.arange(SNAPSHOTS)).tolist()
    with database.write() as session:
        run = ensure_run(session, project="browser-long", run="long", now=0.0)
        attempt = attempt_of(session, run, "first", now=0.0)
        tensors = [_tensor(run.id, name, role="mlp.up", layer=n) for n, name in enumerate(NAMES)]
        scalars = [Series(run_id=run.id, name=name) for name in (LOSS, "steps")]
        session.add_all([*tensors, *scalars])
        session.flush()
        attempt.last_step, attempt.cursor = steps[-1], SNAPSHOTS - 1
        owner = {"attempt_id": attempt.id, **SNAPSHOT}
        session.execute(
            insert(Snapshot), [{**owner, "sequence": n, "step": at} for n, at in enumerate(steps)]
        )
        for tensor in tensors:
            session.execute(insert(TENSOR_STATS), _statistics(tensor.id, attempt.id, steps))
        for scalar in scalars:
            session.execute(insert(SeriesPoint), _points(scalar.id, attempt.id, steps))
        return LongRun(database=database, id=run.id, tensor=tensors[0].id, attempt=attempt.id)


def _tensor(run_id: int, name: str, *, role: str, layer: int | None) -> Tensor:
    return Tensor(run_id=run_id, name=name, layer=layer, role=role, shape=[64, 64], dtype="float32")


def _statistics(tensor: int, attempt: int, steps: list[int]) -> list[dict[str, object]]:
    random = np.random.default_rng(tensor)
    std = np.exp(0.01 * random.standard_normal(len(steps)).cumsum())
    columns = {name: std * norm.ppf(share) for name, share in PROBABILITIES.items()}
    columns |= {
        "std": std,
        "mean": 0 * std,
        "min": -4 * std,
        "max": 4 * std,
        "count": 4096 + 0 * std,
    }
    rows = zip(steps, *(column.tolist() for column in columns.values()), strict=True)
    names = ("step", *columns)
    owner = {"tensor_id": tensor, "attempt_id": attempt}
    return [{**owner, **dict(zip(names, row, strict=True))} for row in rows]


def _points(series: int, attempt: int, steps: list[int]) -> list[dict[str, object]]:
    values = (3 / (1 + 0.001 * np.array(steps))).tolist()
    owner = {"series_id": series, "attempt_id": attempt, "count": EVERY}
    return [
        {**owner, "step": step} | dict.fromkeys(("last", "mean", "min", "max"), value)
        for step, value in zip(steps, values, strict=True)
    ]
