"""A disk that is full or cannot be written: the training goes on, what is lost is counted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.gateway import gateway
from tests.faults.rest import sequences_lost, settled
from tests.faults.small_disk import fill, make_read_only, mounted
from tests.faults.training import SNAPSHOTS, STEPS, Training, encoded, unwatched
from tests.faults.watched_process import WatchedProcess, digest
from tests.server import Server

DISK_KIBIBYTES = 512
"""Room for a few of the snapshots."""

SMALL_FILE_BYTES = 4096
"""Room for a state of the attempt, not for a snapshot."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", kibibytes=DISK_KIBIBYTES) as disk:
        yield disk


def test_what_a_full_disk_does_not_take_is_counted_and_judged_over(
    house: Server, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway(None, backend=house.url) as server:
        training = Training()
        monitor = training.watch("full-disk", url=server.url, spool_dir=small_disk / "spool")
        training.run(monitor)
        encoded(monitor)
        assert not monitor.flush(0.5)
        server.heal()
        assert monitor.flush()
        for _ in range(STEPS):
            # One by one, so that a busy server does not let the disk fill a second time.
            training.run(monitor, steps=1)
            assert monitor.flush()
        monitor.close()
    assert training.outcome() == unwatched(2 * STEPS)
    run = settled(house, "full-disk", judged=2)
    [attempt] = run["attempts"]
    lost = sequences_lost(attempt)
    assert 0 < len(lost) < SNAPSHOTS
    assert lost == list(range(SNAPSHOTS - len(lost), SNAPSHOTS)), "the newest found no room"
    assert attempt["dropped"] == {"disk_full": len(lost)}
    assert run["state"] == "finished"
    assert run["snapshots"]["judged"] == SNAPSHOTS + 3 - len(lost)
    assert sum("No space left" in message for message in caplog.messages) == 1


def test_a_disk_that_stays_full_does_not_keep_the_end_from_being_told(
    house: Server, small_disk: Path
) -> None:
    training = Training()
    monitor = training.watch("no-room", url=house.url, spool_dir=small_disk / "spool")
    assert monitor.flush()
    fill(small_disk)
    training.run(monitor)
    monitor.close()
    assert training.outcome() == unwatched()
    run = settled(house, "no-room", judged=0)
    assert run["state"] == "finished"
    assert run["attempts"][0]["dropped"]["disk_full"] >= SNAPSHOTS
    assert sequences_lost(run["attempts"][0]) == list(range(SNAPSHOTS))


def test_a_limit_on_the_size_of_files_costs_snapshots_and_no_more(
    house: Server, spool_dir: Path
) -> None:
    client = WatchedProcess(
        "small-files", file_bytes=SMALL_FILE_BYTES, url=house.url, spool_dir=str(spool_dir)
    )
    assert client.digest() == digest(unwatched())
    run = settled(house, "small-files", judged=0)
    assert run["state"] == "finished"
    assert run["attempts"][0]["dropped"] == {"disk_full": SNAPSHOTS}
    assert sequences_lost(run["attempts"][0]) == list(range(SNAPSHOTS))


def test_a_file_where_the_spool_should_be_makes_snapshots_wait_in_memory(
    house: Server, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool_dir.write_text("somebody's notes")
    with gateway(None, backend=house.url) as server:
        training = Training()
        monitor = training.watch("no-folder", url=server.url, spool_dir=spool_dir)
        training.run(monitor)
        server.heal()
        monitor.close()
    assert training.outcome() == unwatched()
    run = settled(house, "no-folder", judged=SNAPSHOTS)
    assert (run["state"], run["attempts"][0]["dropped"]) == ("finished", {})
    assert f"the spool {spool_dir} cannot be used" in caplog.text
    assert spool_dir.read_text() == "somebody's notes"


def test_a_disk_that_cannot_be_written_makes_snapshots_wait_in_memory(
    house: Server, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_read_only(small_disk)
    with gateway(None, backend=house.url) as server:
        training = Training()
        monitor = training.watch("read-only", url=server.url, spool_dir=small_disk / "spool")
        training.run(monitor)
        server.heal()
        monitor.close()
    assert training.outcome() == unwatched()
    run = settled(house, "read-only", judged=SNAPSHOTS)
    assert (run["state"], run["attempts"][0]["dropped"]) == ("finished", {})
    assert "cannot be used" in caplog.text


def test_a_spool_that_is_deleted_during_the_run_is_counted(house: Server, spool_dir: Path) -> None:
    training = Training()
    monitor = training.watch("deleted-spool", url=house.url, spool_dir=spool_dir)
    assert monitor.flush()
    shutil.rmtree(spool_dir)
    training.run(monitor)
    monitor.close()
    assert training.outcome() == unwatched()
    run = settled(house, "deleted-spool", judged=0)
    assert run["state"] == "finished"
    assert sequences_lost(run["attempts"][0]) == list(range(SNAPSHOTS))


def test_an_offline_folder_that_cannot_be_written_loses_the_record_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bifurk").write_text("no folder")
    training = Training()
    with training.watch("offline", offline_dir=tmp_path / "bifurk") as monitor:
        training.run(monitor)
    assert training.outcome() == unwatched()
    assert [message for message in caplog.messages if "cannot be written" in message]
