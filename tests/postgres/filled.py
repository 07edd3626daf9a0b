"""The same streams on two databases: taken in, measured, judged, condensed and thinned for real."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from starlette.testclient import TestClient

from bifurk.wire import AttemptReport, Mark, Part, ScalarSummary, encode_attempt
from bifurk_service.app import create_app
from bifurk_service.detect.judge import Judge
from bifurk_service.pipeline.thinning import Thinner
from bifurk_service.pipeline.workers import Workers
from bifurk_service.settings import Settings
from bifurk_service.store import leases
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt, Series, SeriesPoint, Snapshot
from bifurk_service.store.state_pieces import keep_pieces
from bifurk_service.store.states import SavedState, save_state
from tests.api.test_imports import NDJSON
from tests.compared_runs import LONG, condense_all, faulty, usual, write_attempt, write_run
from tests.parts import make_part, make_tensor
from tests.pipeline.house import AtOnce, House
from tests.retention.test_thinning import an_alert
from tests.store.outlined import write_imports, write_profiles
from tests.written_run import WrittenRun

PAST: Final = 300
"""Snapshots of the written run's first attempt, of which two blocks are thinned."""
TAKEN_OVER: Final = 260
"""The sequence with which its second attempt begins."""
TRAINED: Final = 10
RESUMED: Final = 7
BROKEN: Final = 5
BROUGHT: Final = 10
ROUNDS: Final = 500
SHAPES: Final = {"h.0.mlp.up": (6, 8), "h.1.mlp.up": (6, 8), "h.2.mlp.up": (6, 8), "h.0.Down": (8,)}


class Side:
    """One of two databases, with whoever fills it and whoever asks it.

    Attributes:
        runs: their ids by their names; "past" is that of the long one that is thinned.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        self.runs: dict[str, int] = {}
        self._house = House(folder, database)
        self._house.new_workers = lambda: Workers(8, lambda _: AtOnce())
        self._house.pipeline = self._house.new_pipeline()
        settings = Settings(data_dir=folder, database_url=database.url)
        self._app = create_app(settings, make_executor=ThreadPoolExecutor)
        self.client = TestClient(self._app, base_url="http://localhost")

    def fill(self) -> None:
        """Everything there is, in the same order on both."""
        self._write_past()
        self._write_compared()
        self._train()
        self._bring()
        self._judge()
        condense_all(self.database)
        runs = self.client.get("/api/v1/runs?limit=50").json()["items"]
        self.runs = {{"r": "past"}.get(one["run"], one["run"]): one["id"] for one in runs}
        for tag in ("good", "Baseline", "éclair"):
            self.client.put(f"/api/v1/runs/{self.runs['trained']}/tags/{tag}")

    def thin(self) -> None:
        """What is old, as much of it as may be."""
        thinner = Thinner(self.database, self._house.blobs, keep_bytes=1)
        assert thinner.run(most_seconds=1e9) == 2

    def close(self) -> None:
        self._house.pipeline.stop()
        for one in (self._app.state.services.database, self._app.state.services.pipelined):
            one.close()
        self.database.close()

    def _write_past(self) -> None:
        """Two attempts with all that is condensed, and an alert in their midst."""
        run = WrittenRun(self.database)
        run.judge(range(PAST))
        write_profiles(run, range(PAST))
        write_imports(run, range(3, PAST))
        _log(run)
        later = run.begin("second")
        run.judge(range(TAKEN_OVER, PAST + 30), attempt=later)
        write_profiles(run, range(TAKEN_OVER, PAST + 30), later)
        with self.database.write() as session:
            attempt = session.get_one(Attempt, run.attempt)
            attempt.first_sequence = 0
            alert = an_alert(attempt, (1000, 1200), 150)
            onset = {"statistics": ["std"], "onset_first_step": 1000, "onset_last_step": 1200}
            told = {"name": "w0", "layer": None, "role": "other", "id": run.tensors[0], **onset}
            alert.tensors = [{**told, "before": 0.1, "after": 1 / 3, "score": 9.0}]
            session.add(alert)
            judge = Judge("r")
            pieces = dict(enumerate(judge.put_away()))
            keep_pieces(session, attempt.id, PAST - 1, pieces)
            places = tuple((PAST - 1, number) for number in pieces)
            memory = SavedState(definition=judge.definition, sequence=PAST - 1, pieces=places)
            save_state(session, attempt.id, memory)

    def _write_compared(self) -> None:
        every = [10 * place for place in range(LONG)]
        for name, values in (("good", usual(LONG)), ("faulty", faulty(LONG))):
            write_run(self.database, name)
            write_attempt(self.database, name, "first", every, values)
        after = {name: values[:, 90:140] for name, values in usual(LONG).items()}
        after["rms"][0, 15:] *= 2.0
        write_run(self.database, "resumed")
        write_attempt(self.database, "resumed", "first", every[:110], usual(110))
        write_attempt(self.database, "resumed", "second", every[90:140], after)

    def _train(self) -> None:
        """Runs that are measured: one of two attempts that breaks, one of a single snapshot."""
        for sequence in range(TRAINED):
            self._house.receive(_part(sequence))
        for sequence in range(RESUMED, TRAINED + 2):
            self._house.receive(_part(sequence, attempt="second", seed=1))
        self._house.receive(_part(0, run="single"))
        empty = encode_attempt(AttemptReport(state="running"))
        address = "/api/v1/projects/tests/runs/empty/attempts/first"
        assert self.client.put(address, content=empty).status_code == 200

    def _bring(self) -> None:
        """A run computed elsewhere, now and then without a value."""
        made = self.client.post("/api/v1/runs", json={"project": "tests", "run": "brought"})
        points = [
            {"step": step, "tensor": "layers.0.w", "statistic": name, "value": value}
            for step in range(BROUGHT)
            for name in ("std", "sharpness")
            for value in [None if step % 5 == 3 else math.sin(step) / 3]
        ]
        answer = self.client.post(
            f"/api/v1/runs/{made.json()['id']}/series",
            content="\n".join(map(json.dumps, points)),
            headers=NDJSON,
        )
        assert answer.status_code == 200, answer.text

    def _judge(self) -> None:
        for _ in range(ROUNDS):
            self._house.pipeline.advance()
            self._house.clock.advance(0.5)
            with self.database.read() as session:
                if not leases.what_waits(session).attempts:
                    return
        raise AssertionError("something still waits")


def _part(sequence: int, *, run: str = "trained", attempt: str = "first", seed: int = 0) -> Part:
    """Four small tensors, of which the last breaks; the loss and the rate are not always told."""
    value = 1.0 / (1 + sequence)
    told = (math.nan, math.inf)[sequence % 2] if sequence % 5 in (3, 4) else value
    scalar = ScalarSummary(last=told, mean=told, min=-value, max=told, count=10)
    rates = () if sequence % 5 == 2 else (3e-4 * 0.1 ** (sequence // 4),)
    mark = Mark(kind="evaluation", step=10 * sequence, details={"score": value})
    part = make_part(
        sequence,
        run=run,
        attempt=attempt,
        learning_rates=rates,
        scalars={"loss": scalar, "Loss/train": scalar},
        marks=(mark,) if sequence % 10 == 0 else (),
    )
    tensors = tuple(
        replace(make_tensor(name, values), layer=int(name[2]), role=name[4:])
        for name, values in _weights(sequence, seed).items()
    )
    return replace(part, tensors=tensors)


def _weights(sequence: int, seed: int) -> dict[str, NDArray[np.float32]]:
    found: dict[str, Any] = {}
    for place, (name, shape) in enumerate(SHAPES.items()):
        start = np.random.default_rng([2, place]).standard_normal(shape)
        noise = np.random.default_rng([seed, place, sequence]).standard_normal(shape)
        found[name] = (0.02 * (start + 0.05 * noise)).astype(np.float32)
    if sequence >= BROKEN:
        found["h.0.Down"][sequence % 8] = np.inf if sequence % 3 else np.nan
    return found


def _log(run: WrittenRun) -> None:
    """A loss that is not always told, and a learning rate that jumps, now and then untold."""
    loss = np.random.default_rng(3).standard_cauchy(PAST).tolist()
    width = np.random.default_rng(4).exponential(size=(2, PAST)).tolist()
    with run.database.write() as session:
        series = Series(run_id=run.id, name="loss")
        session.add_all([Series(run_id=run.id, name="a"), series])
        session.flush()
        own = {"series_id": series.id, "attempt_id": run.attempt, "last": 0.0, "count": 1}
        rows = [
            {
                **own,
                "step": 10 * at,
                "mean": loss[at] if at % 9 else None,
                "min": loss[at] - width[0][at] if at % 9 else None,
                "max": loss[at] + width[1][at] if at % 8 else None,
            }
            for at in range(PAST)
        ]
        session.execute(insert(SeriesPoint), rows)
        for snapshot in session.scalars(select(Snapshot)):
            at = snapshot.sequence
            rate = 1e-3 / 3 * 0.5 ** (at // 97) * (8.0 if at in (200, 201) else 1.0)
            snapshot.learning_rates = [None if at % 31 == 5 else rate, 1.0]
