"""A thinned past has lost no extreme, nothing at an alert, and nothing that is still needed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, update

from bifurk_service.errors import ConflictError, NotFoundError
from bifurk_service.pipeline import thinning
from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.pipeline.thinning import Thinner
from bifurk_service.replay.evidence import evidence_of
from bifurk_service.replay.stored import replay_run
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.block_extremes import keep_extremes
from bifurk_service.store.condensing import forget_condensed
from bifurk_service.store.engine import Session
from bifurk_service.store.models import (
    Attempt,
    ProfileValue,
    Snapshot,
    SpectrumRow,
    StoredAlert,
    StoredMark,
    StoredPart,
)
from bifurk_service.store.pins import pin, unpin
from bifurk_service.store.run_sizes import run_bytes
from bifurk_service.store.snapshots import neighbours
from bifurk_service.store.thinning_blocks import LAST_WHOLE, Block
from tests.database import fresh_database
from tests.retention.conftest import Past
from tests.retention.long_past import SNAPSHOTS, LongPast, count
from tests.store.condensed import spans_of
from tests.store.outlined import check_outlined
from tests.store.summed import check_sums

LATE_ONE = 5
THINNED = SNAPSHOTS - LAST_WHOLE
"""The first sequence that is left alone, as the number of snapshots is one of whole blocks."""


def check_extremes(run: LongPast, *, bin_snapshots: int) -> None:
    """What is read is what was written, and each bin's extremes are among it, at their steps."""
    for one in run.series():
        written = {
            step: value for (tensor, step), value in run.values.items() if tensor == one.tensor_id
        }
        got = dict(zip(one.steps.tolist(), one.values.tolist(), strict=True))
        assert {step: written[step] for step in got} == pytest.approx(
            got, rel=0, abs=0, nan_ok=True
        )
        for first in range(0, SNAPSHOTS, bin_snapshots):
            inside = [written[10 * at] for at in range(first, first + bin_snapshots)]
            kept = [got[10 * at] for at in range(first, first + bin_snapshots) if 10 * at in got]
            assert np.nanmin(kept) == np.nanmin(inside)
            assert np.nanmax(kept) == np.nanmax(inside)


def test_one_in_eight_stays_whole_and_no_extreme_is_lost(past: Past) -> None:
    run, database, blobs = past
    [before, _] = run.series()
    assert run.thin(blobs, keep_bytes=run_size(run) - 1) == 1
    assert run.whole() == [*range(0, 64, 8), *range(64, SNAPSHOTS)]
    check_extremes(run, bin_snapshots=8)
    assert run.thin(blobs) == 8 - 1 + 1
    assert run.whole() == [*range(0, THINNED, 64), *range(THINNED, SNAPSHOTS)]
    check_extremes(run, bin_snapshots=64)
    for points in (6, 20, 60):
        check_outlined(run, points)
    check_sums(database)
    [after, _] = run.series()
    assert len(after.steps) < len(before.steps) / 3
    [part, _] = run.series(first_step=1000, last_step=2000)
    inside = (after.steps >= 1000) & (after.steps <= 2000)
    np.testing.assert_array_equal(part.steps, after.steps[inside])
    np.testing.assert_array_equal(part.values, after.values[inside])


def run_size(run: LongPast) -> int:
    with run.database.read() as session:
        return run_bytes(session, run.id)


def test_what_lies_beside_the_statistics_goes_and_receipts_stay(past: Past) -> None:
    run, database, blobs = past
    before = run_size(run)
    run.thin(blobs)
    assert run_size(run) < before / 2
    whole = run.whole()
    assert len([*blobs.older_than(-1)]) == len(whole)
    assert count(database, ProfileValue) == len(whole)
    assert count(database, StoredPart) == count(database, Snapshot) == SNAPSHOTS
    with database.read() as session:
        spectra = session.scalars(select(SpectrumRow.step).order_by(SpectrumRow.step)).all()
    # The first of the matrix, those of whole snapshots, and the last.
    assert [step // 10 for step in spectra] == [1, *(at for at in whole if at % 3 == 1)]


def test_alerts_checkpoints_and_pins_stay_whole(past: Past) -> None:
    run, database, blobs = past
    with database.write() as session:
        session.add(an_alert(session.get_one(Attempt, run.attempt), (1000, 1200), 150))
        at = session.scalars(select(Snapshot).where(Snapshot.sequence == 301)).one()
        session.add(StoredMark(snapshot_id=at.id, kind="checkpoint", step=3010, details={}))
        by_hand = pin(session, run.id, 3990, 4010, now=0.0).id
        assert pin(session, run.id, 3990, 4010, now=0.0).id == by_hand
    run.thin(blobs)
    stays = {*range(92, 109), *range(112, 129), *range(142, 159), 301, 399, 400, 401}
    grid = {*range(0, THINNED, 64), *range(THINNED, SNAPSHOTS)}
    assert set(run.whole()) == grid | stays
    check_extremes(run, bin_snapshots=64)
    with database.write() as session:
        unpin(session, run.id, by_hand)


def test_what_comes_late_while_a_block_is_thinned_stays_whole(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, database, blobs = past
    of_late = (Snapshot.attempt_id == run.attempt) & (Snapshot.sequence == LATE_ONE)
    with database.write() as session:
        session.execute(update(Snapshot).where(of_late).values(state="received"))

    def keep_then_measure(session: Session, block: Block, found: Mapping[str, bytes]) -> None:
        keep_extremes(session, block, found)
        session.execute(update(Snapshot).where(of_late).values(state="late"))

    monkeypatch.setattr(thinning, "keep_extremes", keep_then_measure)
    run.thin(blobs, keep_bytes=run_size(run) - 1)
    assert run.whole()[:9] == [0, LATE_ONE, *range(8, 64, 8)]


def an_alert(attempt: Attempt, onset: tuple[int, int], detected: int) -> StoredAlert:
    return StoredAlert(
        run_id=attempt.run_id,
        attempt_id=attempt.id,
        fingerprint="shift:std:1",
        kind="regime_shift",
        severity="warning",
        state="firing",
        statistic="std",
        detected_step=10 * detected,
        detected_sequence=detected,
        onset_first_step=onset[0],
        onset_last_step=onset[1],
        sentence="",
        tensors=[],
        explained_by=[],
        evidence={},
        created_at=0.0,
        updated_at=0.0,
    )


def test_a_figure_is_drawn_from_what_is_left(past: Past) -> None:
    run, _, blobs = past
    run.thin(blobs)
    for widest in (-1.0, 70.0, np.inf):
        spans = spans_of(run, widest=widest)
        for row, tensor in enumerate(run.tensors):
            values = [value for (of, _), value in run.values.items() if of == tensor]
            assert np.nanmax(spans.high[row]) == np.nanmax(values)
            assert np.nanmin(spans.low[row]) == np.nanmin(values)


def test_a_snapshot_that_comes_late_into_what_is_thinned_loses_no_extreme(past: Past) -> None:
    run, database, blobs = past
    run.thin(blobs)
    with database.write() as session:
        forget_condensed(session, session.get_one(Attempt, run.attempt), 70)
        late = session.scalars(select(Snapshot).where(Snapshot.sequence == 70)).one()
        late.thinned, late.state = 0, "received"
        previous, first = neighbours(session, late)
        # The blobs of others are gone.
        assert [one and one.sequence for one in (previous, first)] == [64, 0]
        late.thinned, late.state = 2, "late"
    condense_due(database, most_seconds=60)
    for row, tensor in enumerate(run.tensors):
        values = [value for (of, _), value in run.values.items() if of == tensor]
        assert np.nanmax(spans_of(run).high[row]) == np.nanmax(values)


def test_a_replay_over_what_is_thinned_says_from_where_it_can_be(past: Past) -> None:
    run, database, blobs = past
    run.thin(blobs)
    with pytest.raises(ConflictError, match=f"replay from step {10 * THINNED - 10 + 1} on"):
        replay_run(database, run.id)
    [replayed] = replay_run(database, run.id, first_step=10 * THINNED)
    assert replayed.snapshots == LAST_WHOLE


def test_nothing_new_goes_and_who_does_not_fit_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database, blobs = fresh_database(tmp_path), open_blobs(str(tmp_path / "blobs"))
    run = LongPast(database, tmp_path / "blobs", snapshots=LAST_WHOLE + 63)
    thinner = Thinner(database, blobs, keep_bytes=1)
    with caplog.at_level(logging.WARNING, logger="bifurk.service"):
        assert thinner.run() == 0
        thinner.run()
    assert len(run.whole()) == LAST_WHOLE + 63
    assert [record.getMessage()[:10] for record in caplog.records] == [f"run {run.id} take"]
    assert thinner.over_budget == 1
    database.close()


def test_a_run_that_fits_or_has_no_budget_is_left_alone(past: Past) -> None:
    run, database, blobs = past
    assert Thinner(database, blobs, keep_bytes=None).run() == 0
    assert run.thin(blobs, keep_bytes=run_size(run)) == 0
    with database.write() as session:
        attempt = session.get_one(Attempt, run.attempt)
        attempt.source = "import"
    assert run.thin(blobs) == 0


def test_evidence_is_made_behind_the_memory_that_was_put_away(past: Past) -> None:
    run, database, blobs = past
    run.thin(blobs)
    with database.write() as session:
        attempt = session.get_one(Attempt, run.attempt)
        early, late = (an_alert(attempt, (10, 20), at) for at in (100, SNAPSHOTS + 5))
        late.fingerprint = "another"
        for alert in (early, late):
            alert.tensors = [{"id": run.tensors[0]}]
            session.add(alert)
    with pytest.raises(ConflictError, match=f"before sequence {SNAPSHOTS} is thinned"):
        evidence_of(database, early.id)
    # The memory is taken up; of a detection that nobody made there is none.
    with pytest.raises(NotFoundError, match="do not give alert"):
        evidence_of(database, late.id)
