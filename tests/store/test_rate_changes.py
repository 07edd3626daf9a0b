"""Jumps of a long run's learning rate are found in what is condensed, as if all had been read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, select

from bifurk_service.detect.rates import Rates, change_between, joined, may_jump
from bifurk_service.domain import Mark
from bifurk_service.pages.marks import MOST_MARKS, run_marks
from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.store import rate_changes
from bifurk_service.store.condensing import condense_anew
from bifurk_service.store.courses import learning_rates
from bifurk_service.store.models import Attempt, Snapshot, StoredMark
from bifurk_service.store.rate_changes import RateAt, neighbours_that_may_jump
from bifurk_service.store.snapshot_lists import list_marks
from tests.database import fresh_database
from tests.written_run import WrittenRun

LENGTH = 800
Schedule = Callable[[int], float | None]


def warm_up_and_cosine(at: int) -> float:
    return 1e-3 * min(1.0, at / 20) * (1 + np.cos(np.pi * at / LENGTH)) / 2


def stairs(at: int) -> float:
    return 1e-3 * 0.5 ** (at // 97) * (8.0 if at in (500, 501) else 1.0)


def stairs_on_bins(at: int) -> float:
    return 1e-3 * 0.5 ** (at // 64)


def untold_here_and_there(at: int) -> float | None:
    return None if at % 5 == 0 or 200 <= at < 350 else stairs(at)


def never(at: int) -> float | None:
    return None


def off_and_on(at: int) -> float:
    return 0.0 if at // 30 % 2 else 1e-3


SCHEDULES = (warm_up_and_cosine, stairs_on_bins, untold_here_and_there, never, off_and_on)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WrittenRun]:
    run = WrittenRun(fresh_database(tmp_path_factory.mktemp("rates")), tensors=1)
    run.judge([*range(330), *range(340, 590), *range(660, LENGTH)])
    later = run.begin("second")
    run.judge(range(740, LENGTH + 10), attempt=later)
    yield run
    run.database.close()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_jump_is_found_and_little_is_read(run: WrittenRun, schedule: Schedule) -> None:
    follow(run, schedule)
    with run.database.read() as session:
        rates = learning_rates(session, run.id)
        found = neighbours_that_may_jump(session, run.id, may_jump=may_jump, around=3_000)
    every = [
        Rates(step=int(step), rates=(float(rate),))
        for step, rate in zip(rates.steps, rates.rates, strict=True)
    ]
    assert len(every) > 700
    assert changes_of(found) == marks_of(pairwise(every))
    # Behind what is condensed, and in the warm-up, all are.
    assert len(found) < 400 or schedule is untold_here_and_there


def test_of_more_than_can_be_looked_into_those_nearest_count(
    run: WrittenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(run, off_and_on)
    with run.database.read() as session:
        every = neighbours_that_may_jump(session, run.id, may_jump=may_jump, around=0)
        monkeypatch.setattr(rate_changes, "MOST_PLACES", 4)
        few = neighbours_that_may_jump(session, run.id, may_jump=may_jump, around=5_000)
    steps = [mark.step for mark in changes_of(few)]
    nearest = sorted((one.step for one in changes_of(every)), key=lambda at: abs(at - 5_000))
    assert len(steps) < len(nearest)
    assert set(nearest[:3]) <= set(steps)


def test_marks_nearest_to_the_onset_are_shown(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    run = WrittenRun(database, tensors=1)
    run.judge(range(600))
    onset: Any = SimpleNamespace(
        run_id=run.id, onset_first_step=2_005, explained_by=[], checkpoint=None
    )
    with database.write() as session:
        rows = [
            {"snapshot_id": one.id, "kind": kind, "step": one.step, "details": {}}
            for one in session.scalars(select(Snapshot))
            for kind in ("checkpoint", "evaluation")
        ]
        session.execute(insert(StoredMark), rows)
        marks = run_marks(session, onset)
        said = [mark.step for mark in list_marks(session, run.id) if mark.kind == "evaluation"]
    nearest = sorted(said, key=lambda step: abs(step - 2_005))[:MOST_MARKS]
    assert [(mark.kind, mark.step) for mark in marks] == [
        ("evaluation", step) for step in sorted(nearest)
    ]
    database.close()


def follow(run: WrittenRun, schedule: Schedule) -> None:
    with run.database.write() as session:
        for snapshot in session.scalars(select(Snapshot)):
            snapshot.learning_rates = [schedule(snapshot.sequence), 1.0]
        for attempt in session.scalars(select(Attempt.id)):
            condense_anew(session, attempt)
    condense_due(run.database, most_seconds=60)


def changes_of(neighbours: Iterable[tuple[RateAt, RateAt]]) -> list[Mark]:
    pairs = [[Rates(step=one.step, rates=(one.rate,)) for one in pair] for pair in neighbours]
    return marks_of((before, after) for before, after in pairs)


def marks_of(neighbours: Iterable[tuple[Rates, Rates]]) -> list[Mark]:
    changes = (change_between(*pair) for pair in neighbours)
    return joined([change for change in changes if change is not None])
