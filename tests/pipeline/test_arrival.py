"""However parts arrive, what is stored and what is alerted is the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bifurk.wire import LossReport, Part
from tests.parts import make_part, make_tensor, put_part, weights_at
from tests.server import Server

SNAPSHOTS = 26
BLOW_UP = 18
REPLAYED = 13
"""Judged by a server that is then killed: the next one has to rebuild the detectors' memory."""


OF_ALL_KINDS = ("blocks.0.mlp.up.weight", "blocks.0.mlp.down.bias")
"""One travels as counts, the other exactly."""


def run_of_parts(run: str = "run") -> list[Part]:
    """A run of two tensors that are multiplied by three at a known snapshot."""
    parts = []
    for sequence in range(SNAPSHOTS):
        part = make_part(sequence, run=run)
        factor = 3.0 if sequence >= BLOW_UP else 1.0
        tensors = tuple(
            make_tensor(name, (values * factor).astype(np.float32), full=sequence % 2 == 0)
            for name, values in noisy(weights_at(sequence), sequence).items()
            if name in OF_ALL_KINDS
        )
        parts.append(Part(manifest=part.manifest, tensors=tensors))
    return parts


def noisy(weights: dict[str, Any], sequence: int) -> dict[str, Any]:
    rng = np.random.default_rng([7, sequence])
    return {
        name: (values + 1e-3 * values.std() * rng.standard_normal(values.shape)).astype(np.float32)
        for name, values in weights.items()
    }


def stored(server: Server, run_id: int) -> tuple[Any, Any]:
    """All that a reader can see of a run: every statistic of every snapshot, and the alerts."""
    run = server.get(f"/api/v1/runs/{run_id}")["run"]
    statistics = {
        (stat["name"], series["tensor"]["name"]): (series["steps"], series["values"])
        for stat in server.get("/api/v1/stats")["items"]
        for series in server.get(f"/api/v1/runs/{run_id}/series?stat={stat['name']}")["items"]
    }
    alerts = server.get(f"/api/v1/alerts?run={run_id}&limit=1000")["items"]
    told = ("kind", "severity", "detected_step", "onset_first_step")
    return statistics, [
        ([alert[name] for name in told], alert["sentence"].removeprefix(f"{run}: "))
        for alert in alerts
    ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("arrivals") / "server")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def in_order(house: Server) -> tuple[Any, Any]:
    for part in run_of_parts():
        assert put_part(house, part)[0] == 201
    house.wait_until_judged(1, SNAPSHOTS)
    seen = stored(house, 1)
    assert seen[1], "the blow-up is alerted, else this module compares nothing"
    return seen


def shuffled(parts: list[Part]) -> list[Part]:
    result = parts[:]
    random.Random(5).shuffle(result)
    return result


ARRIVALS: dict[str, Callable[[list[Part]], Iterable[Part]]] = {
    "backwards": lambda parts: parts[::-1],
    "shuffled-and-twice": lambda parts: [part for part in shuffled(parts) for _ in range(2)],
    "the-first-one-last": lambda parts: [*parts[1:], parts[0]],
}


@pytest.fixture(scope="module")
def at_once(house: Server, in_order: tuple[Any, Any]) -> dict[str, int]:
    """A run in every order, all sent at the same time; ids by name."""

    def send(name: str) -> None:
        for part in ARRIVALS[name](run_of_parts(name)):
            assert put_part(house, part)[0] in (200, 201)

    with ThreadPoolExecutor(len(ARRIVALS)) as senders:
        list(senders.map(send, ARRIVALS))
    return {run["run"]: run["id"] for run in house.get("/api/v1/runs")["items"]}


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_neither_the_order_of_arrival_nor_other_runs_change_anything(
    house: Server, in_order: tuple[Any, Any], at_once: dict[str, int], arrival: str
) -> None:
    house.wait_until_judged(at_once[arrival], SNAPSHOTS)
    statistics, alerts = stored(house, at_once[arrival])
    assert statistics == in_order[0]
    assert alerts == in_order[1]


def test_a_snapshot_behind_the_cursor_is_measured_and_marked_late(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(BIFURK_PART_TIMEOUT_SECONDS="0.5")
    parts = run_of_parts()[:4]
    for part in (parts[0], parts[1], parts[3]):
        put_part(server, part)
    server.wait_until_judged(1, 3)
    put_part(server, parts[2])
    run = server.wait_until_judged(1, 3)
    assert (run["snapshots"]["late"], run["snapshots"]["judged"]) == (1, 3)
    [series] = server.get("/api/v1/runs/1/series?stat=std&tensor=blocks.0.mlp.down.bias")["items"]
    assert series["steps"] == [0, 10, 20, 30]


def test_a_snapshot_reported_as_lost_is_not_waited_for(house: Server) -> None:
    report = LossReport(dropped={"spool_full": 1}, lost_sequences=((1, 1),))
    put_part(house, make_part(0, run="lost"))
    put_part(house, make_part(2, run="lost", loss_report=report))
    [found] = house.get("/api/v1/runs?run=lost")["items"]
    run = house.wait_until_judged(found["id"], 2)
    assert run["attempts"][0]["dropped"] == {"spool_full": 1}
    assert run["attempts"][0]["lost_sequences"] == [[1, 1]]


def test_what_a_killed_server_had_acknowledged_is_judged_by_the_next(
    start_server: Callable[..., Server], tmp_path: Path, in_order: tuple[Any, Any]
) -> None:
    parts = run_of_parts()
    for first, last in ((0, REPLAYED), (REPLAYED, REPLAYED + 1), (REPLAYED + 1, SNAPSHOTS)):
        server = start_server(tmp_path / "data")
        for part in parts[first:last]:
            assert put_part(server, part)[0] == 201
        if last == REPLAYED:
            server.wait_until_judged(1, last)
        if last < SNAPSHOTS:
            server.kill()
    server.wait_until_judged(1, SNAPSHOTS)
    statistics, alerts = stored(server, 1)
    assert statistics == in_order[0]
    assert alerts == in_order[1]
