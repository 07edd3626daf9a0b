"""The stream: what happens to runs, as it happens, and again after a break."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import urllib3

from tests.api.filling import BROKEN_AT, Caller, broken_part
from tests.server import Server, wait_for

MOST_SECONDS = 40.0
"""For one event; pings come every 15 s, so that a read alone never times out."""


class Reader:
    """Reads events off one connection."""

    def __init__(self, caller: Caller, query: str = "", last_event_id: str | None = None) -> None:
        headers = dict(caller.headers)
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        self._pool = urllib3.PoolManager(retries=False, timeout=MOST_SECONDS)
        self.answer = self._pool.request(
            "GET",
            f"{caller.server.url}/api/v1/stream{query}",
            headers=headers,
            preload_content=False,
        )
        assert self.answer.status == 200
        self._lines = self._split()

    def _split(self) -> Iterator[str]:
        rest = b""
        for chunk in self.answer.stream(1024, decode_content=False):
            *lines, rest = (rest + chunk).split(b"\r\n")
            yield from (line.decode() for line in lines)

    def next_event(self) -> dict[str, Any]:
        """The next event as id, event and data; comments are passed over."""
        fields: dict[str, Any] = {}
        deadline = time.monotonic() + MOST_SECONDS
        for line in self._lines:
            assert time.monotonic() < deadline, "only pings came"
            name, _, value = line.partition(": ")
            if line == "" and fields:
                return {**fields, "data": json.loads(fields["data"])}
            if line and name:
                fields[name] = value
        raise AssertionError("the stream ended")

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Events up to and with the first wanted one."""
        events: list[dict[str, Any]] = []
        while not events or not wanted(events[-1]):
            events.append(self.next_event())
        return events

    def close(self) -> None:
        self.answer.close()
        self._pool.clear()


@contextmanager
def reading(caller: Caller, query: str = "", last_event_id: str | None = None) -> Iterator[Reader]:
    reader = Reader(caller, query, last_event_id)
    yield reader
    reader.close()


def is_alert(event: dict[str, Any]) -> bool:
    return str(event["event"]) == "alert"


def is_finish(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "attempt" and event["data"]["state"] == "finished")


def is_beginning(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "attempt" and event["data"]["state"] == "running")


def play(caller: Caller, run: str) -> int:
    """A run that begins, breaks and finishes; its id."""
    for sequence in range(BROKEN_AT + 1):
        caller.post_part(broken_part(sequence, project="stream", run=run))
    run_id = caller.run_id("stream", run)
    caller.wait_until_judged(run_id, BROKEN_AT + 1)
    caller.report("stream", run, "finished")
    return run_id


@pytest.fixture(scope="module")
def played(anyone: Caller) -> tuple[int, list[dict[str, Any]]]:
    """A run's id, and what a reader who was there saw of it."""
    with reading(anyone) as reader:
        run_id = play(anyone, "played")
        events = reader.until(is_finish)
    return run_id, [event for event in events if event["data"]["run"] == run_id]


def test_a_run_is_told_from_its_beginning_to_its_end(
    played: tuple[int, list[dict[str, Any]]],
) -> None:
    _, events = played
    assert events[0]["event"] == "attempt"
    assert events[0]["data"]["state"] == "running"
    steps = [event["data"]["step"] for event in events if event["event"] == "snapshot"]
    assert steps == [sequence * 10 for sequence in range(BROKEN_AT + 1)]
    [alert] = [event for event in events if is_alert(event)]
    assert alert["data"]["kind"] == "non_finite"
    assert alert["data"]["state"] == "firing"
    assert is_finish(events[-1])
    ids = [int(event["id"]) for event in events]
    assert ids == sorted(set(ids))


def test_a_reader_goes_on_after_the_event_it_saw_last(
    anyone: Caller, played: tuple[int, list[dict[str, Any]]]
) -> None:
    run_id, events = played
    with reading(anyone, f"?run={run_id}", last_event_id=events[2]["id"]) as reader:
        assert reader.until(is_finish) == events[3:]


def test_a_reader_of_everything_starts_over_with_zero(
    anyone: Caller, played: tuple[int, list[dict[str, Any]]]
) -> None:
    run_id, events = played
    with reading(anyone, f"?run={run_id}", last_event_id="0") as reader:
        assert reader.until(is_finish) == events


def test_a_reader_may_name_the_event_in_the_address(
    anyone: Caller, played: tuple[int, list[dict[str, Any]]]
) -> None:
    run_id, events = played
    query = f"?run={run_id}&after={events[2]['id']}"
    with reading(anyone, query) as reader:
        assert reader.until(is_finish) == events[3:]
    with reading(anyone, query, last_event_id=events[4]["id"]) as reader:
        assert reader.until(is_finish) == events[5:]


@pytest.mark.parametrize("header", ["9" * 30, str(10**17), "-1", "abc", "1.5", "²"])
def test_an_event_id_that_is_none_of_ours_means_from_now_on(
    anyone: Caller, played: tuple[int, list[dict[str, Any]]], header: str
) -> None:
    run, _ = played
    with reading(anyone, last_event_id=header.encode().decode("latin-1")) as reader:
        anyone.report("stream", f"after-{abs(hash(header))}")
        events = reader.until(is_beginning)
    assert run not in {event["data"]["run"] for event in events}


def test_two_readers_see_the_same(anyone: Caller) -> None:
    with reading(anyone) as one, reading(anyone) as other:
        run_id = play(anyone, "shared")
        seen = [
            [event for event in reader.until(is_finish) if event["data"]["run"] == run_id]
            for reader in (one, other)
        ]
    assert seen[0] == seen[1] != []
    with reading(anyone, f"?run={run_id}") as reader:
        alert = anyone.get(f"/api/v1/alerts?run={run_id}")["items"][0]["id"]
        anyone.request("POST", f"/api/v1/alerts/{alert}/acknowledge")
        event = reader.next_event()
    assert (event["event"], event["data"]["state"]) == ("alert", "acknowledged")


def test_readers_that_leave_free_the_server(start_server: Callable[..., Server]) -> None:
    server = start_server()
    caller = Caller(server)
    process = psutil.Process(server.process.pid)
    port = int(server.url.rpartition(":")[2])

    def connections() -> int:
        return sum(
            c.laddr.port == port and c.status != psutil.CONN_LISTEN
            for c in process.net_connections(kind="tcp")
        )

    readers = [Reader(caller) for _ in range(50)]
    assert connections() >= 50
    for reader in readers:
        reader.close()
    wait_for(lambda: connections() <= 2, "the connections of readers that left to close")
    assert caller.get("/healthz")["status"] == "ok"


def test_a_server_with_readers_stops_when_it_is_told_to(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    with reading(Caller(server)):
        server.stop()
    assert server.process.returncode == 0
