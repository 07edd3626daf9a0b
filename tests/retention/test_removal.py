"""A removed run is out of sight at once, and gone in the end, whatever happens on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from bifurk_service.errors import NotFoundError, StorageError
from bifurk_service.pipeline.removing import remove_due, remove_run
from bifurk_service.pipeline.sweeping import sweep_orphans
from bifurk_service.store.baselines import judged_runs
from bifurk_service.store.blobs import FolderBlobs, open_blobs
from bifurk_service.store.live import live_runs
from bifurk_service.store.models import Run
from bifurk_service.store.removal import hide_run
from bifurk_service.store.run_lists import list_runs, run_summary, search_runs
from bifurk_service.store.run_sizes import budgets, run_bytes
from bifurk_service.store.runs import ensure_attempt
from bifurk_service.store.snapshots import waiting_snapshots
from tests.retention.conftest import Past
from tests.retention.interrupted import DiesAfter, killed
from tests.retention.long_past import everything

EMPTY_OF = {"projects", "runs", "attempts", "attempt_sums", "events"}
"""Of another run of the same name, which has sent nothing yet."""


class Stubborn(FolderBlobs):
    """Of which some cannot be deleted."""

    stuck = ""

    def delete(self, key: str) -> None:
        if key.startswith(self.stuck):
            raise StorageError(f"the blob {key} could not be deleted: Device or resource busy")
        super().delete(key)


def test_blobs_that_cannot_be_deleted_keep_nobody_waiting(past: Past, tmp_path: Path) -> None:
    run, database, _ = past
    blobs = Stubborn(tmp_path / "blobs")
    with database.write() as session:
        other = ensure_attempt(session, project="p", run="other", attempt="first", now=0.0).run_id
    assert run.thin(blobs) == 0
    assert run.whole()[9] == 9, "its rows stay where its blobs do"
    for run_id in (run.id, other):
        with database.write() as session:
            hide_run(session, run_id)
    remove_due(database, blobs, now=0.0, most_seconds=1e9)
    with database.read() as session:
        assert session.get(Run, run.id) is not None
        assert session.get(Run, other) is None
    for key in ("a.part", "b.part", "c.part"):
        blobs.put(key, b"of nobody")
    blobs.stuck = "b"
    assert sweep_orphans(database, blobs, older_than_seconds=-1) == 2
    assert (tmp_path / "blobs/b.part").exists()


def test_a_run_that_has_come_to_its_end_meanwhile_is_not_removed(past: Past) -> None:
    run, database, blobs = past
    before = everything(database)
    assert remove_run(database, blobs, run.id, until=1e18)
    assert everything(database) == before


def remove_and_die(url: str, blobs: str, run_id: int, transactions: int) -> None:
    database = DiesAfter(url, transactions)
    remove_run(database, open_blobs(blobs), run_id, until=1e18)


def test_a_removal_that_is_killed_is_completed(past: Past, tmp_path: Path) -> None:
    run, database, blobs = past
    with database.read() as session:
        size = run_bytes(session, run.id)
    assert run.thin(blobs, keep_bytes=size - 1) == 1
    with database.write() as session:
        hide_run(session, run.id)
    with database.read() as session:
        assert list_runs(session) == search_runs(session, limit=9) == []
        assert live_runs(session, ended_after=-1.0) == []
        assert judged_runs(session, "p") == []
        assert budgets(session, default=1) == []
        assert waiting_snapshots(session, run.attempt, limit=9) == []
        with pytest.raises(NotFoundError):
            run_summary(session, run.id)
    with database.write() as session:
        new = ensure_attempt(session, project="p", run="r", attempt="first", now=0.0)
        assert new.run_id != run.id, "its name is free at once"
    for transactions in (2, 6):
        assert killed(remove_and_die, database.url, str(tmp_path / "blobs"), run.id, transactions)
    left = len(everything(database)["tensor_stats"])
    assert left > 0
    remove_due(database, blobs, now=0.0, most_seconds=0.0)
    assert len(everything(database)["tensor_stats"]) < left, "a little at a time"
    remove_due(database, blobs, now=0.0, most_seconds=1e9)
    assert {name for name, rows in everything(database).items() if rows} == EMPTY_OF
    assert not list((tmp_path / "blobs").rglob("*.part"))
    with database.read() as session:
        assert [one.id for one in list_runs(session)] == [new.run_id]
