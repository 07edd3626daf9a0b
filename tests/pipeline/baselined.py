"""Runs whose statistics are written into the store as if they had been measured and judged."""

from __future__ import annotations

import itertools
import math
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import insert, select

from bifurk_service.notify.baselines import Baseline
from bifurk_service.pipeline.baselines import BaselineKeeper
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    Delivery,
    Event,
    Run,
    Snapshot,
    StoredAlert,
    Tensor,
)
from bifurk_service.store.runs import attempt_of, ensure_run

PROJECT = "gpt"
LAYERS = 3
GROUPS = ("attention.query", "attention.output", "mlp.up", "mlp.down")
STATISTICS = ("std", "update_ratio")
COURSES = len(GROUPS) * len(STATISTICS)
STEP = 10
GOOD = tuple(f"good-{number}" for number in range(1, 7))
NOW = 1_000.0
LEAVES = 300
"""Step from which on a bad run is twice as large."""

Keep: TypeAlias = Callable[..., BaselineKeeper]
"""Makes a keeper that holds runs against the baselines given, all at once."""


def baseline(**changed: object) -> Baseline:
    """Six good runs, five of which must be there; every run is held against them."""
    return Baseline.model_validate(
        {"name": "steady", "project": PROJECT, "good": GOOD, "statistics": STATISTICS, **changed}
    )


@contextmanager
def copied(file: Path, to: Path) -> Iterator[Runs]:
    """The runs of a database in a copy of their own."""
    shutil.copy(file, to)
    database = Database(f"sqlite:///{to}")
    try:
        yield Runs(database)
    finally:
        database.close()


def leave(runs: Runs, run: str = "bad", *, until: int = 400, **given: Any) -> None:
    """A run that is like the good ones up to a step."""
    runs.judge(run, range(0, LEAVES, STEP))
    runs.judge(run, range(LEAVES, until, STEP), grown=2.0, **given)


class Runs:
    """Runs of one project."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def judge(
        self,
        run: str,
        steps: Sequence[int],
        *,
        grown: float = 1.0,
        groups: Sequence[str] = GROUPS,
        attempt: str = "first",
        first: int | None = None,
        model: str = "h",
        now: float = NOW,
    ) -> None:
        """Snapshots at these steps, of which what some groups show is larger by a factor.

        ``first`` is the first one's sequence, the next without it; behind the cursor it comes late.
        ``model`` begins the names of the tensors.
        """
        with self.database.write() as session:
            stored = ensure_run(session, project=PROJECT, run=run, now=now)
            own = attempt_of(session, stored, attempt, now=now)
            tensors = self._tensors(session, stored, model)
            rows = []
            begin = own.cursor + 1 if first is None else first
            for sequence, step in enumerate(steps, begin):
                state = "late" if sequence <= own.cursor else "judged"
                own.cursor = max(own.cursor, sequence)
                session.add(_snapshot(own.id, sequence, step, now, state))
                rows += [
                    {"tensor_id": tensor.id, "attempt_id": own.id, "step": step}
                    | {
                        name: _value(run, tensor.name, name, step)
                        * (grown if tensor.role in groups else 1.0)
                        for name in STATISTICS
                    }
                    for tensor in tensors
                ]
            session.execute(insert(TENSOR_STATS), rows)

    def good(self, *, until: int = 600) -> None:
        for name in GOOD:
            self.judge(name, range(0, until, STEP))

    def state(self, run: str, state: str) -> None:
        with self.database.write() as session:
            query = select(Attempt).join(Run, Attempt.run_id == Run.id).where(Run.slug == run)
            for attempt in session.scalars(query):
                attempt.state = state

    def alerts(self) -> list[StoredAlert]:
        with self.database.read() as session:
            return list(session.scalars(select(StoredAlert).order_by(StoredAlert.id)))

    def told(self) -> list[str]:
        with self.database.read() as session:
            return list(session.scalars(select(Delivery.reason).order_by(Delivery.id)))

    def streamed(self) -> list[str]:
        with self.database.read() as session:
            query = select(Event).where(Event.kind == "alert").order_by(Event.id)
            return [event.data["change"] for event in session.scalars(query)]

    def _tensors(self, session: Session, run: Run, model: str) -> list[Tensor]:
        query = select(Tensor).where(Tensor.run_id == run.id).order_by(Tensor.id)
        known = list(session.scalars(query))
        if known:
            return known
        for layer, role in itertools.product(range(LAYERS), GROUPS):
            tensor = Tensor(
                run_id=run.id, name=f"{model}.{layer}.{role}.weight", layer=layer, role=role,
                shape=[8, 8], dtype="float32",
            )  # fmt: skip
            session.add(tensor)
        session.flush()
        return list(session.scalars(query))


def _value(run: str, tensor: str, statistic: str, step: int) -> float:
    """A level of the run's own for every group, and noise about it; one law for all runs."""
    group = tensor.split(".", 2)[2]
    return math.exp(0.1 * _draw(run, group, statistic) + 0.002 * _draw(run, tensor, step))


def _draw(*of: object) -> float:
    """Uniform in [-1, 1], always the same for the same."""
    return zlib.crc32(repr(of).encode()) / 2**31 - 1


def _snapshot(attempt_id: int, sequence: int, step: int, now: float, state: str) -> Snapshot:
    return Snapshot(
        attempt_id=attempt_id, sequence=sequence, step=step, off_grid=False, state=state,
        tries=0, expected_parts=1, received_parts=1, coverage=1.0, wall_clock=0.0, received_at=now,
        measured_at=now, judged_at=now, learning_rates=[],
    )  # fmt: skip
