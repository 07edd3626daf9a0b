"""A server that is absent, slow or broken: the training does not notice, nothing goes astray."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bifurk.sender import REQUEST_SECONDS
from tests.faults import gateway as faults
from tests.faults.gateway import Fault, gateway
from tests.faults.rest import find_run, sequences_lost, settled
from tests.faults.training import SNAPSHOTS, STEPS, Training, encoded, unwatched
from tests.server import Server, wait_for

PASSING: dict[str, Fault | None] = {
    "refuses-connections": None,
    "hangs": faults.hangs,
    "never-reads": faults.never_reads,
    "drips-a-byte-a-second": faults.drips,
    "is-no-http": faults.speaks_another_protocol,
    "cuts-the-request": faults.cuts_the_request,
    "cuts-the-answer": faults.cuts_the_answer,
    "answers-500": faults.answers(500),
    "answers-503": faults.answers(503, Retry_After="30"),
    "answers-429": faults.answers(429, Retry_After="30"),
    "refuses-the-token": faults.answers(401),
    "forbids": faults.answers(403),
    "is-not-there": faults.answers(404),
    "takes-no-put": faults.answers(405),
}
"""What the client waits out: it keeps its snapshots and brings them later."""

FINAL = {"409": 409, "413": 413, "422": 422}
"""What no retry would change: the snapshot is dropped, and that is told."""

MORE_STEPS = 8


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_costs_no_snapshot(name: str, house: Server, spool_dir: Path) -> None:
    with gateway(PASSING[name], backend=house.url) as server:
        training = Training()
        monitor = training.watch(name, url=server.url, spool_dir=spool_dir)
        began = time.monotonic()
        training.run(monitor)
        assert time.monotonic() - began < REQUEST_SECONDS
        if PASSING[name] is not None:
            server.wait_for_faulted(1)
        assert find_run(house, name) is None
        server.heal()
        monitor.close()
    assert training.outcome() == unwatched()
    run = settled(house, name, judged=SNAPSHOTS)
    assert run["state"] == "finished"
    assert run["snapshots"]["total"] == SNAPSHOTS
    assert (run["attempts"][0]["dropped"], run["attempts"][0]["lost_sequences"]) == ({}, [])
    assert list(spool_dir.iterdir()) == []


@pytest.mark.parametrize("name", FINAL)
def test_what_is_refused_for_good_is_counted_and_judged_over(
    name: str, house: Server, spool_dir: Path
) -> None:
    with gateway(faults.answers(FINAL[name]), backend=house.url) as server:
        training = Training()
        monitor = training.watch(name, url=server.url, spool_dir=spool_dir)
        training.run(monitor)
        assert monitor.flush()
        server.heal()
        training.run(monitor, steps=MORE_STEPS)
        monitor.close()
    assert training.outcome() == unwatched(STEPS + MORE_STEPS)
    run = settled(house, name, judged=1)
    assert (run["state"], run["snapshots"]["total"]) == ("finished", 1)
    [attempt] = run["attempts"]
    assert sequences_lost(attempt) == list(range(SNAPSHOTS))
    assert attempt["dropped"] == {reason(name): len(server.faulted)}


def reason(status: str) -> str:
    return "conflict" if status == "409" else f"rejected_{status}"


def test_a_server_that_asks_for_patience_is_not_asked_again(house: Server, spool_dir: Path) -> None:
    with gateway(faults.answers(429, Retry_After="60"), backend=house.url) as server:
        training = Training()
        monitor = training.watch("patience", url=server.url, spool_dir=spool_dir)
        server.wait_for_faulted(1)
        training.run(monitor)
        assert len(server.faulted) == 1
        server.heal()
        monitor.close()
    settled(house, "patience", judged=SNAPSHOTS)


def test_a_close_waits_no_longer_than_it_was_told(house: Server, spool_dir: Path) -> None:
    with gateway(faults.hangs, backend=house.url) as server:
        training = Training()
        monitor = training.watch("short-close", url=server.url, spool_dir=spool_dir)
        training.run(monitor)
        server.wait_for_faulted(1)
        encoded(monitor)
        began = time.monotonic()
        monitor.close(deadline_seconds=0.5)
        assert time.monotonic() - began < REQUEST_SECONDS
        left = [file.name for file in spool_dir.rglob("*.request")]
    assert training.outcome() == unwatched()
    assert len(left) == SNAPSHOTS + 2, "two states of the attempt and all its snapshots wait"


def test_every_bad_answer_is_logged_once(
    house: Server, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway(faults.answers(422), backend=house.url) as server:
        training = Training()
        monitor = training.watch("told-once", url=server.url, spool_dir=spool_dir)
        training.run(monitor)
        monitor.close()
    assert len(server.faulted) >= SNAPSHOTS + 2
    assert caplog.messages == ["the server refused a request (422): a fault of the test"]


def test_a_refused_token_is_said_once_and_all_waits_for_the_right_one(
    house: Server, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway(faults.answers(401), backend=house.url) as server:
        training = Training()
        monitor = training.watch("no-token", url=server.url, spool_dir=spool_dir)
        training.run(monitor)
        encoded(monitor)
        wait_for(lambda: caplog.messages, "the refusal")
        assert not monitor.flush(0.2)
        monitor.close(deadline_seconds=0.5)
    assert training.outcome() == unwatched()
    assert len(list(spool_dir.rglob("*.request"))) >= SNAPSHOTS + 2
    [refused, waiting] = caplog.messages
    assert "token missing or refused (401): set BIFURK_TOKEN: a fault of the test" in refused
    assert "python -m bifurk sync" in waiting
