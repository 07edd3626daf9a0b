"""Series in fewer points are read from what is condensed, and lose no extreme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from alembic import command
from sqlalchemy import delete, insert, select, update

from bifurk.wire import ScalarSummary
from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.store import condensed_bins, outlines
from bifurk_service.store.condensed_courses import profile_row
from bifurk_service.store.courses import learning_rates
from bifurk_service.store.engine import Database, alembic_config
from bifurk_service.store.logged import keep_last_words
from bifurk_service.store.models import Attempt, ExtremesRow, Series, SeriesPoint, Snapshot
from bifurk_service.store.near import steps_near
from bifurk_service.store.outlined_courses import outlined_rates, outlined_scalar
from bifurk_service.store.outlined_series import Asked, series_near
from bifurk_service.store.scalars import ScalarPoint, scalar_points
from bifurk_service.store.series import StatisticSeries, statistic_series
from tests.database import fresh_database
from tests.store.outlined import (
    PROFILES,
    check_imported,
    check_imported_spans,
    check_outlined,
    check_points,
    check_profiles,
    write_imports,
    write_profiles,
)
from tests.written_run import WrittenRun

LENGTH = 700


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = fresh_database(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WrittenRun]:
    run = WrittenRun(fresh_database(tmp_path_factory.mktemp("outlined")))
    run.judge(range(LENGTH))
    log_loss(run, LENGTH)
    write_profiles(run, range(LENGTH))
    write_imports(run, range(3, LENGTH))
    condense_due(run.database, most_seconds=60)
    yield run
    run.database.close()


def log_loss(run: WrittenRun, length: int) -> None:
    """A loss and a learning rate at every snapshot, the loss of one in nine missing."""
    loss = np.random.default_rng(3).standard_cauchy(length).tolist()
    width = np.random.default_rng(4).exponential(size=(2, length)).tolist()
    with run.database.write() as session:
        session.execute(
            insert(Series), [{"run_id": run.id, "name": name} for name in ("a", "loss")]
        )
        own = {"series_id": 2, "attempt_id": run.attempt, "last": 0.0, "count": 1}
        session.execute(
            insert(SeriesPoint),
            [
                {
                    **own,
                    "step": 10 * at,
                    "mean": loss[at] if at % 9 else None,
                    "min": loss[at] - width[0][at] if at % 9 else None,
                    "max": loss[at] + width[1][at] if at % 8 else None,
                }
                for at in range(length)
            ],
        )
        for snapshot in session.scalars(select(Snapshot)):
            snapshot.learning_rates = [1.0 / (1 + snapshot.sequence), 7.0]


def loss_of(run: WrittenRun, points: int) -> list[ScalarPoint]:
    with run.database.read() as session:
        return outlined_scalar(session, run.id, "loss", points=points).points


@pytest.mark.parametrize("points", [8, 12, 40, 120, 9_000])
def test_so_do_what_is_logged_and_the_learning_rate(run: WrittenRun, points: int) -> None:
    with run.database.read() as session:
        whole = scalar_points(session, run.id, "loss")
        rates = outlined_rates(session, run.id, points=points)
        every = learning_rates(session, run.id)
    fewer = loss_of(run, points)
    check_points(*(series_of(one) for one in (whole, fewer)), points)
    assert set(fewer) <= set(whole)
    check_ranges(whole, fewer, points)
    courses = (
        StatisticSeries(tensor_id=0, steps=one.steps, values=one.rates) for one in (every, rates)
    )
    check_points(*courses, points)
    assert rates.rates.max() == 1.0


def check_ranges(whole: list[ScalarPoint], fewer: list[ScalarPoint], points: int) -> None:
    """Nothing lies far beyond the minima and maxima that are given near it."""
    reach = 4 * whole[-1].step / max(1, (points // 2 - 2) // 2)
    for one in whole:
        near = [other for other in fewer if abs(other.step - one.step) <= reach]
        lows = [other.min for other in near if other.min is not None]
        highs = [other.max for other in near if other.max is not None]
        assert one.min is None or min(lows) <= one.min
        assert one.max is None or max(highs) >= one.max


@pytest.mark.parametrize("points", [4, 12, 40, 120, 9_000])
def test_so_do_profiles_and_what_was_imported(run: WrittenRun, points: int) -> None:
    assert check_profiles(run, points) == ["", "other"]
    assert check_profiles(run, points, role="other") == ["other"]
    check_imported(run, points)
    check_imported(run, points, first_step=77, last_step=6_001)
    check_imported_spans(run)


def series_of(points: list[ScalarPoint]) -> StatisticSeries:
    return StatisticSeries(
        tensor_id=0,
        steps=np.array([one.step for one in points]),
        values=np.array([one.mean for one in points], dtype=np.float64),
    )


def test_what_is_said_after_the_last_snapshot_is_told_of(database: Database) -> None:
    run = WrittenRun(database)
    run.judge(range(128))
    log_loss(run, 128)
    condense_due(database, most_seconds=60)
    with database.write() as session:
        attempt = session.get_one(Attempt, run.attempt)
        attempt.last_sequence, attempt.last_step = 127, 1270
        scalar = ScalarSummary(last=1e12, mean=1e12, min=1e12, max=1e12, count=1)
        keep_last_words(session, attempt, SimpleNamespace(scalars={"loss": scalar}, marks=()))
    for _ in range(2):
        assert max(one.mean or 0.0 for one in loss_of(run, 8)) > 1e11
        condense_due(database, most_seconds=60)


@pytest.mark.parametrize("points", [4, 5, 12, 40, 120])
def test_a_long_series_keeps_its_extremes_at_their_steps(run: WrittenRun, points: int) -> None:
    found = check_outlined(run, points)
    assert all(len(one.steps) > points / 3 for one in found)


def test_a_short_one_is_given_whole(run: WrittenRun) -> None:
    for one in check_outlined(run, 200):
        assert len(one.steps) == LENGTH


@pytest.mark.parametrize(("first", "last"), [(130, None), (None, 6_660), (77, 6_001), (5_000, 1)])
def test_between_two_steps(run: WrittenRun, first: int | None, last: int | None) -> None:
    for points in (4, 20, 60):
        found = check_outlined(run, points, first_step=first, last_step=last)
        assert all(len(one.steps) >= min(4, len(one.steps)) for one in found)


def test_near_something_every_value_is_given(run: WrittenRun) -> None:
    asked = Asked(run_id=run.id, statistic="std", tensor_ids=run.tensors, points=20)
    with run.database.read() as session:
        near = steps_near(session, run.id, 3_000, 3_100, least=20)
        assert near == (2_800, 3_300)
        assert steps_near(session, run.id, 20, 6_980, least=20) == (0, 6_990)
        every = statistic_series(session, run.id, "std", run.tensors)
        found = series_near(session, asked, near)
        assert found is not None
        for whole, one in zip(every, found, strict=True):
            assert set(range(2_800, 3_301, 10)) <= set(one.steps.tolist())
            assert len(one.steps) <= 51 + 20
            values = dict(zip(whole.steps.tolist(), whole.values.tolist(), strict=True))
            np.testing.assert_array_equal(one.values, [values[at] for at in one.steps.tolist()])
            for extreme in (np.nanmin, np.nanmax):
                assert extreme(one.values) == extreme(whole.values)
        assert series_near(session, replace(asked, points=200), near) is None


def test_tensors_are_read_in_parts(run: WrittenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = check_outlined(run, 40)
    monkeypatch.setattr(outlines, "NUMBERS_AT_ONCE", 1)
    in_parts = check_outlined(run, 40)
    assert [one.steps.tolist() for one in in_parts] == [one.steps.tolist() for one in at_once]


@pytest.mark.parametrize("most", [condensed_bins.MOST_RANGES, 1])
def test_gaps_later_tensors_and_attempts_that_take_over(
    database: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(condensed_bins, "MOST_RANGES", most)
    run = WrittenRun(database)
    run.judge([*range(100), *range(180, 300)])
    condense_due(database, most_seconds=60)
    run.tensors.append(run.add_tensor("later", role="later"))
    run.judge(range(300, 420))
    write_profiles(run, range(180, 420), every=2)
    condense_due(database, most_seconds=60)
    later = run.begin("second")
    run.judge(range(330, 600), attempt=later)
    write_profiles(run, range(330, 600), later)
    condense_due(database, most_seconds=60)
    for points in (4, 9, 30, 100):
        assert check_profiles(run, points) == ["", "later", "other"]
        check_profiles(run, points, attempt="first")
        check_outlined(run, points)
        check_outlined(run, points, attempt="first")
        check_outlined(run, points, attempt="second", first_step=3_400)


def test_what_waits_to_be_condensed_is_read_one_by_one(database: Database) -> None:
    """As after an upgrade, and where an older version's archive came in; it is made anew."""
    run = WrittenRun(database)
    run.judge(range(150))
    check_outlined(run, 20)
    condense_due(database, most_seconds=60)
    with database.write() as session:
        session.execute(update(ExtremesRow).where(ExtremesRow.block == 0).values(places=None))
    check_outlined(run, 20)
    assert condense_due(database, most_seconds=60) == 2
    with database.read() as session:
        assert None not in session.scalars(select(ExtremesRow.places)).all()
    check_outlined(run, 20)


def test_what_an_earlier_version_condensed_comes_to_tell_of_profiles(database: Database) -> None:
    run = WrittenRun(database)
    run.judge(range(150))
    write_profiles(run, range(150))
    condense_due(database, most_seconds=60)
    rows = select(ExtremesRow.block).where(ExtremesRow.statistic == profile_row(PROFILES[0]))
    with database.write() as session:
        session.execute(delete(ExtremesRow).where(ExtremesRow.statistic.like("profile %")))
    for revision in ("20261210_pieces", "head"):
        move = command.downgrade if revision != "head" else command.upgrade
        move(alembic_config(database.url), revision)
    check_profiles(run, 20)
    condense_due(database, most_seconds=60)
    with database.read() as session:
        assert sorted(session.scalars(rows)) == [0, 1]
    check_profiles(run, 20)


def test_a_run_without_anything_has_no_points(database: Database) -> None:
    assert [one.steps.size for one in check_outlined(WrittenRun(database), 4)] == [0, 0]
