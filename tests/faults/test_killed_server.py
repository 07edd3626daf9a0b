"""A server killed while it takes parts in: what it acknowledged is judged once, in order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import urllib3

from bifurk.transport import Request, Response, Urllib3Transport
from tests.faults.rest import find_run, settled, snapshots
from tests.faults.training import STEPS, Training, unwatched
from tests.ports import own_port
from tests.server import DEADLINE_SECONDS, Server, wait_for

RUN = "killed"
MOMENTS_SECONDS = (0.0, 0.004, 0.02)
"""After a part has begun to be sent: while its body is read, its blob synced, its receipt kept."""

ROUNDS = len(MOMENTS_SECONDS) + 1
ALL_SNAPSHOTS = 7 + 3 * len(MOMENTS_SECONDS)


class Witness:
    """Stands on the client's side of the wire: notes what was acknowledged, kills when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.acknowledged: list[int] = []
        self.victim: Server | None = None
        self._moment_seconds = 0.0
        self._killer: threading.Timer | None = None
        self.workers: list[psutil.Process] = []
        send = Urllib3Transport.send

        def watched(
            transport: Urllib3Transport, request: Request, *, deadline_seconds: float
        ) -> Response:
            if request.sequence is not None:
                self._strike()
            response = send(transport, request, deadline_seconds=deadline_seconds)
            if request.sequence is not None and response.status in (200, 201):
                self.acknowledged.append(request.sequence)
            return response

        monkeypatch.setattr(Urllib3Transport, "send", watched)

    def aim(self, server: Server, moment_seconds: float) -> None:
        """Kills the server this long after the next part has begun to be sent."""
        self._moment_seconds = moment_seconds
        self.victim = server

    def wait_for_death(self, server: Server) -> None:
        wait_for(lambda: self._killer is not None, "a part to be sent")
        assert self._killer is not None
        self._killer.join()
        self._killer = None
        assert server.process.poll() is not None

    def _strike(self) -> None:
        if self.victim is not None:
            self.workers += measuring(self.victim)
            killer = threading.Timer(self._moment_seconds, self.victim.kill)
            self.victim = None
            killer.start()
            self._killer = killer


def measuring(server: Server) -> list[psutil.Process]:
    """The processes that it has to measure with, once there was something to measure."""
    return list(psutil.Process(server.process.pid).children(recursive=True))


def seen(server: Server) -> tuple[Any, Any]:
    """All statistics of the run's snapshots, and its alerts."""
    run_id = find_run(server, RUN)
    names = [stat["name"] for stat in server.get("/api/v1/stats")["items"]]
    series = {
        name: [
            (item["tensor"]["name"], item["steps"], item["values"])
            for item in server.get(f"/api/v1/runs/{run_id}/series?stat={name}")["items"]
        ]
        for name in names
    }
    alerts = server.get(f"/api/v1/alerts?run={run_id}&limit=1000")["items"]
    return series, [(alert["fingerprint"], alert["sentence"]) for alert in alerts]


def judgements(server: Server, run_id: int, count: int) -> list[int]:
    """The sequences of the first judgements ever made of a run, as the stream tells them."""
    answer = urllib3.request(
        "GET",
        f"{server.url}/api/v1/stream?run={run_id}",
        headers={"Last-Event-ID": "0"},
        preload_content=False,
        timeout=DEADLINE_SECONDS,
    )
    told = (json.loads(line[5:]) for line in answer if line.startswith(b"data:"))
    judged = (event["sequence"] for event in told if event.get("state") == "judged")
    first = list(islice(judged, count))
    answer.close()
    return first


@pytest.fixture
def undisturbed(house: Server, tmp_path: Path) -> tuple[Any, Any]:
    training = Training()
    with training.watch(RUN, url=house.url, spool_dir=tmp_path / "undisturbed") as monitor:
        for _ in range(ROUNDS):
            training.run(monitor)
            assert monitor.flush()
    settled(house, RUN, judged=ALL_SNAPSHOTS)
    return seen(house)


def test_what_was_acknowledged_is_measured_and_judged_once_and_in_order(
    start_server: Callable[..., Server],
    undisturbed: tuple[Any, Any],
    tmp_path: Path,
    spool_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    witness = Witness(monkeypatch)
    port = str(own_port())
    server = start_server(tmp_path / "data", BIFURK_PORT=port)
    training = Training()
    monitor = training.watch(RUN, url=server.url, spool_dir=spool_dir)
    for moment in MOMENTS_SECONDS:
        witness.aim(server, moment)
        training.run(monitor)
        witness.wait_for_death(server)
        server = start_server(tmp_path / "data", BIFURK_PORT=port)
        assert monitor.flush()
        if moment == MOMENTS_SECONDS[0]:
            wait_for(partial(measuring, server), "a server that measures")
    training.run(monitor)
    monitor.close()
    assert training.outcome() == unwatched(STEPS * ROUNDS)
    assert witness.workers, "some server had begun to measure when it was killed"
    assert psutil.wait_procs(witness.workers, timeout=DEADLINE_SECONDS)[1] == []

    run = settled(server, RUN, judged=ALL_SNAPSHOTS)
    assert run["attempts"][0]["dropped"] == {}
    assert sorted(set(witness.acknowledged)) == list(range(ALL_SNAPSHOTS))
    stored = snapshots(server, run["id"])
    assert [snapshot["sequence"] for snapshot in stored] == list(range(ALL_SNAPSHOTS))
    times = [snapshot["judged_at"] for snapshot in stored]
    assert times == sorted(times)
    assert judgements(server, run["id"], ALL_SNAPSHOTS) == list(range(ALL_SNAPSHOTS))
    assert seen(server) == undisturbed
