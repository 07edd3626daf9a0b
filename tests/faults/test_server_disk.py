"""A server whose disk is full or slow: what it acknowledged is safe, the rest waits elsewhere."""

from __future__ import annotations

import statistics
import time
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
from tests.server import Server

DISK_KIBIBYTES = 8192
"""Room for the database and some parts."""
PARTS_BEFORE = 3
SYNC_SECONDS = 0.2
"""Of each of the two that a part takes."""


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


def test_a_slow_disk_holds_up_neither_the_training_nor_other_answers(
    start_server: Callable[..., Server], tmp_path: Path, spool_dir: Path
) -> None:
    slow = {WORLD: f"tests.faults.worlds:slow_disk:{SYNC_SECONDS}"}
    server = start_server(tmp_path / "data", **slow)
    training = Training()
    monitor = training.watch("server-slow", url=server.url, spool_dir=spool_dir)
    training.run(monitor)
    waits = []
    while not monitor.flush(0.05):
        began = time.monotonic()
        assert server.request("GET", "/healthz")[0] == 200
        waits.append(time.monotonic() - began)
    monitor.close()
    assert len(waits) > SNAPSHOTS, "it was slow"
    assert statistics.median(waits) < SYNC_SECONDS, "and only for those who write"
    assert training.outcome() == unwatched()
    run = settled(server, "server-slow", judged=SNAPSHOTS)
    assert (run["state"], run["attempts"][0]["dropped"]) == ("finished", {})
