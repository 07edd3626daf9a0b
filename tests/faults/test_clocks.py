"""Wall clocks that are set back and forth: nothing is lost, nothing is invented, all goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import WORLD
from tests.faults.gateway import gateway
from tests.faults.rest import settled, snapshots
from tests.faults.training import SNAPSHOTS, STEPS, Training, encoded, unwatched
from tests.server import Server

HOUR_SECONDS = 3600.0
MORE_SNAPSHOTS = 3
"""Of each further round: the first is the last of the round before."""


def test_a_server_whose_clock_is_set_back_and_forth_goes_on(
    start_server: Callable[..., Server], tmp_path: Path, spool_dir: Path
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    server = start_server(**{WORLD: f"tests.faults.worlds:moved_clock:{offset}"})
    training = Training()
    monitor = training.watch("server-clock", url=server.url, spool_dir=spool_dir)
    for seconds in (0.0, -HOUR_SECONDS, 0.0):
        offset.write_text(str(seconds))
        training.run(monitor)
        assert monitor.flush()
    monitor.close()
    assert training.outcome() == unwatched(3 * STEPS)
    run = settled(server, "server-clock", judged=SNAPSHOTS + 2 * MORE_SNAPSHOTS)
    assert (run["state"], run["attempts"][0]["dropped"]) == ("finished", {})
    arrived = snapshots(server, run["id"])
    assert [one["sequence"] for one in arrived] == list(range(len(arrived)))
    received = [one["received_at"] for one in arrived]
    assert received[SNAPSHOTS] < received[0] - HOUR_SECONDS / 2, "the clock was set back"
    assert server.get(f"/api/v1/alerts?run={run['id']}&kind=silent")["items"] == []


def test_a_training_whose_clock_is_set_back_sends_what_an_earlier_one_left(
    house: Server, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gateway(None, backend=house.url) as server:
        where = {"url": server.url, "spool_dir": spool_dir}
        earlier = Training()
        monitor = earlier.watch("client-clock", attempt="earlier", **where)
        earlier.run(monitor)
        encoded(monitor)
        monitor.close(deadline_seconds=0.5)
        set_back(monkeypatch)
        later = Training()
        monitor = later.watch("client-clock", attempt="later", **where)
        later.run(monitor, steps=STEPS // 2)
        set_back(monkeypatch)
        later.run(monitor, steps=STEPS // 2)
        server.heal()
        monitor.close()
    assert later.outcome() == unwatched()
    run = settled(house, "client-clock", judged=2 * SNAPSHOTS)
    for attempt in run["attempts"]:
        assert (attempt["state"], attempt["dropped"]) == ("finished", {})
        arrived = snapshots(house, run["id"], attempt["attempt"])
        assert [one["sequence"] for one in arrived] == list(range(SNAPSHOTS))
    assert list(spool_dir.iterdir()) == []


def set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock of this process, by an hour."""
    seconds, nanoseconds = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: seconds() - HOUR_SECONDS)
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() - int(HOUR_SECONDS * 1e9))
