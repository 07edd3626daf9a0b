"""A server whose disk is full or stands still: what it acknowledged is safe, the rest waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bifurk_service.pipeline.sweeping import sweep_orphans
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database
from tests.command import WORLD
from tests.faults.rest import settled
from tests.faults.small_disk import empty, fill, mounted
from tests.faults.soak.evidence import blobs_astray
from tests.faults.training import SNAPSHOTS, Training, unwatched
from tests.parts import make_part, put_part
from tests.server import Server, wait_for

DISK_KIBIBYTES = 8192
"""Room for the database and some parts."""
PARTS_BEFORE = 3


def astray(folder: Path) -> tuple[set[str], set[str]]:
    """Blobs of nobody, and parts without a blob."""
    database = Database(f"sqlite:///{folder / 'bifurk.db'}")
    sweep_orphans(database, open_blobs(str(folder / "blobs")), older_than_seconds=0.0)
    found = blobs_astray(database, folder / "blobs")
    database.close()
    return found


def test_a_full_disk_is_waited_out_by_all_and_costs_nothing(
    start_server: Callable[..., Server], tmp_path: Path, spool_dir: Path
) -> None:
    with mounted(tmp_path / "data", kibibytes=DISK_KIBIBYTES) as disk:
        server = start_server(disk)
        for sequence in range(PARTS_BEFORE):
            assert put_part(server, make_part(sequence))[0] == 201
        fill(disk)
        status, problem = put_part(server, make_part(PARTS_BEFORE))
        assert (status, problem["title"]) == (503, "Storage unavailable")
        training = Training()
        monitor = training.watch("server-full", url=server.url, spool_dir=spool_dir)
        training.run(monitor)
        assert not monitor.flush(0.5)
        assert server.get("/api/v1/runs?project=faults")["items"] == [], "nothing is taken in"
        assert server.request("GET", "/healthz")[0] == 200
        empty(disk)
        monitor.close()
        assert training.outcome() == unwatched()
        assert put_part(server, make_part(PARTS_BEFORE))[0] == 201
        run = settled(server, "server-full", judged=SNAPSHOTS)
        assert (run["state"], run["attempts"][0]["dropped"]) == ("finished", {})
        [other] = server.get("/api/v1/runs?project=tests")["items"]
        server.wait_until_judged(other["id"], PARTS_BEFORE + 1)
        assert astray(disk) == (set(), set())
        server.stop()


def test_a_disk_that_stands_still_holds_up_neither_the_training_nor_other_answers(
    start_server: Callable[..., Server], tmp_path: Path, spool_dir: Path
) -> None:
    held = tmp_path / "held"
    server = start_server(tmp_path / "data", **{WORLD: f"tests.faults.worlds:held_disk:{held}"})
    held.touch()
    training = Training()
    monitor = training.watch("server-held", url=server.url, spool_dir=spool_dir)
    training.run(monitor)
    wait_for(held.read_text, "a part to be written")
    for path in ("/healthz", "/api/v1/runs", "/metrics"):
        assert server.request("GET", path)[0] == 200, "only those who write wait"
    assert not monitor.flush(0.05)
    held.unlink()
    monitor.close()
    assert training.outcome() == unwatched()
    run = settled(server, "server-held", judged=SNAPSHOTS)
    assert (run["state"], run["attempts"][0]["dropped"]) == ("finished", {})
