"""Queries of the pipeline, of answers and of scrapes take no longer for what is stored behind them.

Counted in instructions of SQLite's machine, which are the same wherever the tests run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import pytest
from sqlalchemy import event, insert, select, text, update

from bifurk_service.api.partings import parting_of
from bifurk_service.detect.rates import may_jump
from bifurk_service.errors import NotFoundError
from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.pipeline.dispatch import Dispatch
from bifurk_service.pipeline.jobs import SpectraSchedule
from bifurk_service.pipeline.workers import Workers
from bifurk_service.store import (
    backlog,
    common_steps,
    fitting,
    leases,
    live,
    profiles,
    queries,
    scalars,
    snapshot_lists,
    snapshots,
    sums,
    timeline,
    whole_steps,
)
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.carried_steps import carried_steps
from bifurk_service.store.engine import Session
from bifurk_service.store.leases import Lease
from bifurk_service.store.models import (
    Attempt,
    Series,
    SeriesPoint,
    Snapshot,
    StoredMark,
    StoredPart,
    Tensor,
)
from bifurk_service.store.near import steps_near
from bifurk_service.store.outlined_courses import outlined_rates, outlined_scalar
from bifurk_service.store.outlined_profiles import outlined_profiles
from bifurk_service.store.outlined_series import Asked, outlined_series, series_near
from bifurk_service.store.rate_changes import neighbours_that_may_jump
from bifurk_service.store.run_sizes import run_bytes
from bifurk_service.store.series import find_tensors
from bifurk_service.store.span_courses import read_spans
from bifurk_service.store.spectra import nearest_singular_values
from bifurk_service.store.tensor_courses import course_step
from bifurk_service.store.tensor_spans import read_tensor_spans
from bifurk_service.store.thinned_ranges import thinned_ranges
from bifurk_service.store.valued_steps import nearest_valued
from tests.database import fresh_database
from tests.instructions import instructions_of
from tests.store.outlined import OWN, PROFILES, write_imports, write_profiles
from tests.written_run import WrittenRun

SHORT: Final = 120
LONG: Final = 800
MOST_TIMES: Final = 1.5
"""A deeper tree takes a few more comparisons; seven times the rows take no seven times."""

Query = Callable[[Session, Attempt, Snapshot], Any]

QUERIES: Final[dict[str, Query]] = {
    "attempts that wait": lambda s, _a, _n: leases.what_waits(s),
    "snapshots that wait": lambda s, a, _n: snapshots.waiting_snapshots(s, a.id, limit=32),
    "snapshots given up": lambda s, a, _n: snapshots.failed_sequences(s, a),
    "blobs to delete": lambda s, _a, _n: snapshots.stale_blobs(s),
    "blobs of an attempt": lambda s, a, _n: snapshots.stale_blobs(s, [a.id]),
    "neighbours": lambda s, _a, n: snapshots.neighbours(s, n),
    "the detectors' clock": lambda s, _a, n: snapshots.clock_of(s, n),
    "whether a step fits": lambda s, a, n: fitting.check_step(
        s, a, SimpleNamespace(sequence=n.sequence + 1, step=n.step + 10)
    ),
    "a run's course": lambda s, a, _n: timeline.timeline(s, a.run_id),
    "runs of a scrape": lambda s, _a, _n: live.live_runs(s, ended_after=0.0),
    "a page of snapshots": lambda s, a, _n: snapshot_lists.list_snapshots(
        s, a.run_id, after_id=0, limit=20
    ),
    "the next page": lambda s, a, _n: snapshot_lists.list_snapshots(
        s, a.run_id, after_id=20, limit=10
    ),
    "the last snapshot": lambda s, a, _n: queries.snapshot_at(s, a.run_id, None),
    "the newest values": lambda s, a, n: queries.latest_values(s, a.id, "mean", step=n.step),
    "the first step measured": lambda s, a, _n: profiles.first_measured_step(s, a.id),
    "what profiles are made of": lambda s, a, n: profiles.profile_tensors(s, a.id, n.step),
    "what they began with": lambda s, a, _n: profiles.profile_tensors(s, a.id, 0, forward=True),
    "spectra": lambda s, a, n: nearest_singular_values(s, a.id, step=n.step),
    "bytes of blobs": lambda s, _a, _n: backlog.kept(s),
    "snapshots by state": lambda s, a, _n: sums.snapshot_counts(s, a.run_id),
    "snapshots of runs": lambda s, a, _n: sums.snapshot_totals(s, [a.run_id]),
    "how far judging has come": lambda s, a, _n: sums.judged_so_far(s, a.id),
    "whether a figure still holds": lambda s, a, n: sums.measured_until(s, a.run_id, n.step - 9),
    "what a run takes": lambda s, a, _n: run_bytes(s, a.run_id),
    "what is thinned": lambda s, a, _n: thinned_ranges(s, a.run_id),
    "marks": lambda s, a, _n: snapshot_lists.list_marks(s, a.run_id),
    "marks near a step": lambda s, a, n: snapshot_lists.marks_near(
        s, a.run_id, n.step, most=8, without="checkpoint"
    ),
    "jumps of the learning rate": lambda s, a, n: neighbours_that_may_jump(
        s, a.run_id, may_jump=may_jump, around=n.step
    ),
    "series in a few points": lambda s, a, _n: list(
        outlined_series(s, Asked(run_id=a.run_id, statistic="std", tensor_ids=[1, 2], points=4))
    ),
    "a few points between two steps": lambda s, a, n: list(
        outlined_series(
            s,
            Asked(
                run_id=a.run_id,
                statistic="std",
                tensor_ids=[1],
                points=4,
                first_step=n.step - 300,
                last_step=n.step,
            ),
        )
    ),
    "a picture": lambda s, a, _n: read_spans(
        s, a.run_id, "std", [1, 2], narrow=lambda first, last: last >= first
    ),
    "a learning rate in a few points": lambda s, a, _n: outlined_rates(s, a.run_id, points=4),
    "a scalar in a few points": lambda s, a, _n: outlined_scalar(s, a.run_id, "loss", points=8),
    "a profile in a few points": lambda s, a, _n: outlined_profiles(
        s, a.run_id, PROFILES[0], points=4
    ),
    "an imported series in a few points": lambda s, a, _n: list(
        outlined_series(s, Asked(run_id=a.run_id, statistic=OWN, tensor_ids=[1, 2], points=4))
    ),
    "what is near an alert": lambda s, a, n: list(
        series_near(
            s,
            Asked(run_id=a.run_id, statistic="std", tensor_ids=[1, 2], points=4),
            near=steps_near(s, a.run_id, n.step - 50, n.step, least=5),
        )
        or ()
    ),
    "which blobs are known": lambda s, _a, n: snapshots.known_blobs(
        s, [f"p/r/first/{n.id - 1}", "p/r/first/none"]
    ),
    "the newest step that two runs have": lambda s, a, _n: common_steps.common_steps(
        s, *[common_steps.reaches(s, timeline.timeline(s, a.run_id))] * 2, limit=1, newest=True
    ),
    "a stored step near another": lambda s, a, n: whole_steps.nearest_whole(
        s, timeline.timeline(s, a.run_id), n.step - 303
    ),
    "a step that is not there": lambda s, a, n: refused(
        lambda: queries.snapshot_at(s, a.run_id, n.step - 303)
    ),
    "where two runs part": lambda s, a, _n: parting_of(
        s, *[(a.run_id, find_tensors(s, a.run_id))] * 2, most_points=0
    ),
    "steps that carry a tensor": lambda s, a, _n: carried_steps(
        s, "statistics", 1, timeline.timeline(s, a.run_id), most=8
    ),
    "the step that carries a tensor": lambda s, a, n: course_step(s, a.run_id, 1, n.step - 303),
    "a step that does not": lambda s, _a, n: queries.not_carried(
        s, s.get_one(Tensor, 1), n.step - 303
    ),
    "statistics of a tensor": lambda s, a, _n: read_tensor_spans(
        s, a.run_id, 1, ("std", "mean"), narrow=lambda first, last: last >= first
    ),
    "a step with a value": lambda s, a, n: nearest_valued(
        s,
        Asked(run_id=a.run_id, statistic="std", tensor_ids=[1, 2], points=4),
        n.step - 303,
    ),
    "a scalar at a glance": lambda s, a, _n: scalars.scalar_sketch(s, a.run_id, "loss", points=8),
}


def refused(query: Callable[[], Any]) -> None:
    with pytest.raises(NotFoundError, match="the nearest is at step"):
        query()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WrittenRun, WrittenRun]]:
    written = []
    for length in (SHORT, LONG):
        run = WrittenRun(fresh_database(tmp_path_factory.mktemp("grown")))
        run.judge(range(length))
        with run.database.write() as session:
            session.get_one(Attempt, run.attempt).first_sequence = 0
            ids = session.scalars(select(Snapshot.id)).all()
            session.execute(insert(StoredPart), [_receipt(one) for one in ids])
            mark = {"snapshot_id": ids[-1], "kind": "eval", "step": 1, "details": {}}
            session.execute(insert(StoredMark), [mark])
            session.execute(insert(Series), [{"id": 1, "run_id": run.id, "name": "loss"}])
            session.execute(insert(SeriesPoint), [_point(run, one) for one in range(length)])
            last = (Snapshot.sequence > length - 9) & (Snapshot.sequence < length - 2)
            session.execute(update(Snapshot).where(last).values(thinned=2))
        write_profiles(run, range(length))
        write_imports(run, range(length))
        condense_due(run.database, most_seconds=60)
        written.append(run)
    yield written[0], written[1]
    for run in written:
        run.database.close()


def _receipt(snapshot_id: int) -> dict[str, Any]:
    receipt = {"snapshot_id": snapshot_id, "rank": 0, "digest": "0", "encoding": "zstd"}
    return {**receipt, "blob_key": f"p/r/first/{snapshot_id}", "blob_bytes": 1, "stale_key": None}


def _point(run: WrittenRun, place: int) -> dict[str, Any]:
    point = {"series_id": 1, "attempt_id": run.attempt, "step": 10 * place, "mean": float(place)}
    return {**point, "last": None, "min": None, "max": None, "count": 1}


@pytest.mark.parametrize("name", QUERIES)
def test_a_longer_run_takes_no_longer(name: str, stored: tuple[WrittenRun, WrittenRun]) -> None:
    short, long = (instructions(run, QUERIES[name]) for run in stored)
    assert long <= MOST_TIMES * short + 20, f"{short} instructions, then {long}"


def test_nor_once_the_database_has_counted_its_rows(stored: tuple[WrittenRun, WrittenRun]) -> None:
    for run in stored:
        with run.database.write() as session:
            session.execute(text("ANALYZE"))
    grown = {}
    for name, query in QUERIES.items():
        short, long = (instructions(run, query) for run in stored)
        if long > MOST_TIMES * short + 20:
            grown[name] = (short, long)
    assert grown == {}


def test_a_pipeline_with_its_hands_full_asks_nothing_of_the_database(
    stored: tuple[WrittenRun, WrittenRun],
) -> None:
    database = stored[0].database
    dispatch = Dispatch(
        database,
        open_blobs("memory://none"),
        Workers(0),
        spectra=SpectraSchedule(budget_seconds=1.0, vectors_every=10),
        on_done=lambda: None,
        observe=lambda _what, _seconds: None,
        monotonic=lambda: 0.0,
    )
    with database.read() as session:
        due = session.scalars(select(Snapshot).where(Snapshot.sequence == 20)).one()
        asked: list[str] = []
        event.listen(database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
        dispatch.hand_out(session, due, Lease(attempt_id=due.attempt_id, holder=1, fence=1))
        assert asked == []


def instructions(run: WrittenRun, query: Query) -> int:
    """How many of them a query takes, the second time."""
    with run.database.read() as session:
        attempt = session.get_one(Attempt, run.attempt)
        newest = session.scalars(select(Snapshot).order_by(Snapshot.sequence.desc()).limit(1)).one()
        return instructions_of(session, lambda: query(session, attempt, newest))
