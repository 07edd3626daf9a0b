"""A training process that is killed, and the next one that takes over what it left."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from bifurk.record import read_record
from tests.faults.gateway import gateway
from tests.faults.rest import settled, snapshots
from tests.faults.training import SNAPSHOTS, STEPS, unwatched
from tests.faults.watched_process import WatchedProcess, digest
from tests.server import Server

KILLED_AT_STEP = 12
AT_LEAST = [0, 1, 2, 3]
"""Sequences that had been spooled at its death."""

MANY_STEPS = 100_000
"""More than it lives to see."""


@pytest.mark.parametrize("death", ["SIGKILL", "os._exit"])
def test_what_a_dead_process_had_spooled_is_sent_by_the_next(
    death: str, house: Server, spool_dir: Path
) -> None:
    with gateway(None, backend=house.url) as server:
        where: dict[str, Any] = {"url": server.url, "spool_dir": str(spool_dir)}
        die(death, spool_dir, run=death, **where)
        spooled = sequences_in(spool_dir)
        assert spooled[: len(AT_LEAST)] == AT_LEAST
        server.heal()
        resumed = WatchedProcess(death, attempt="second", **where)
        assert resumed.digest() == digest(unwatched())
    run = settled(house, death, judged=len(spooled) + SNAPSHOTS)
    first, second = run["attempts"]
    assert (first["attempt"], first["state"]) == ("first", "running")
    assert (second["attempt"], second["state"]) == ("second", "finished")
    for attempt, expected in (("first", spooled), ("second", list(range(SNAPSHOTS)))):
        arrived = snapshots(house, run["id"], attempt)
        assert [snapshot["sequence"] for snapshot in arrived] == expected
        assert {snapshot["state"] for snapshot in arrived} == {"judged"}
    assert list(spool_dir.iterdir()) == []


def die(death: str, spool: Path, *, run: str, **where: Any) -> None:
    if death == "SIGKILL":
        client = WatchedProcess(run, steps=MANY_STEPS, attempt="first", **where)
        client.signal_at(
            KILLED_AT_STEP, signal.SIGKILL, once=lambda: len(sequences_in(spool)) >= len(AT_LEAST)
        )
    else:
        client = WatchedProcess(run, steps=STEPS, ending=death, attempt="first", **where)
    client.wait()
    assert client.process.returncode in (-signal.SIGKILL, 3)


def sequences_in(spool_dir: Path) -> list[int]:
    requests = [read_record(path) for path in sorted(spool_dir.rglob("*.request"))]
    return [request.sequence for request in requests if request.sequence is not None]
