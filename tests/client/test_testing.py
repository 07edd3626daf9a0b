"""The stand-ins that are shipped for users' own tests."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from bifurk.exact import Exact
from bifurk.testing import FailingTransport, InMemoryTransport, ManualClock
from bifurk.transport import Request, Response, TransportError
from bifurk.wire import Manifest, Part, TensorPart, encode

STATE = Request(method="PUT", path="/attempts/a", body=json.dumps({"state": "running"}).encode())


def snapshot(step: int) -> Request:
    gains = Exact(dtype="float32", data=np.ones(3, dtype="<f4"))
    part = Part(
        manifest=Manifest(project="p", run="r", attempt="a", step=step, sequence=0),
        tensors=(TensorPart(name="norm.weight", shape=(3,), dtype="float32", values=gains),),
    )
    path = f"/api/v1/projects/p/runs/r/attempts/a/snapshots/{step}/parts/0"
    headers = {"Content-Encoding": "zstd"}
    return Request(method="PUT", path=path, headers=headers, body=encode(part), sequence=0)


class TestInMemoryTransport:
    def test_it_keeps_requests_and_decodes_parts_and_states(self) -> None:
        transport = InMemoryTransport()
        for request in (STATE, snapshot(4)):
            assert transport.send(request, deadline_seconds=1).status == 201
        assert transport.requests == [STATE, snapshot(4)]
        assert [part.manifest.step for part in transport.parts()] == [4]
        assert transport.states() == [{"state": "running"}]

    def test_it_answers_what_it_was_told_then_201(self) -> None:
        told = Response(status=409, body=b"conflict")
        transport = InMemoryTransport([500, told, TransportError("cut off")])
        assert transport.send(STATE, deadline_seconds=1).status == 500
        assert transport.send(STATE, deadline_seconds=1) == told
        with pytest.raises(TransportError, match="cut off"):
            transport.send(STATE, deadline_seconds=1)
        assert transport.send(STATE, deadline_seconds=1).status == 201

    def test_waiting_for_requests_that_do_not_come_times_out(self) -> None:
        with pytest.raises(TimeoutError, match="expected 1 requests, got 0"):
            InMemoryTransport().wait_for_requests(1, deadline_seconds=0.01)

    def test_it_remembers_its_close(self) -> None:
        transport = InMemoryTransport()
        assert not transport.closed
        transport.close()
        assert transport.closed


class TestFailingTransport:
    def test_it_refuses_until_released(self) -> None:
        transport = FailingTransport("refuses")
        with pytest.raises(TransportError, match="refused"):
            transport.send(STATE, deadline_seconds=1)
        transport.release()
        assert transport.send(STATE, deadline_seconds=1).status == 201
        assert transport.attempts == 2
        assert transport.then.requests == [STATE]

    def test_it_answers_a_status(self) -> None:
        assert FailingTransport(503).send(STATE, deadline_seconds=1).status == 503

    def test_it_hangs_for_the_deadline(self) -> None:
        with pytest.raises(TransportError, match="timed out"):
            FailingTransport("hangs").send(STATE, deadline_seconds=0.01)

    def test_a_hanging_request_is_delivered_on_release(self) -> None:
        transport = FailingTransport("hangs")
        answers: list[Response] = []
        thread = threading.Thread(
            target=lambda: answers.append(transport.send(STATE, deadline_seconds=60))
        )
        thread.start()
        assert transport.attempted.wait(60)
        transport.release()
        thread.join(60)
        assert [answer.status for answer in answers] == [201]


class TestManualClock:
    def test_time_passes_only_when_told(self) -> None:
        clock = ManualClock()
        assert clock.now() == 0
        clock.advance(1.5)
        assert clock.now() == 1.5

    def test_a_sleeper_wakes_when_its_time_has_come_and_not_before(self) -> None:
        clock = ManualClock()
        condition = threading.Condition()
        woke_at: list[float] = []

        def sleep() -> None:
            with condition:
                clock.wait(condition, 10)
            woke_at.append(clock.now())

        thread = threading.Thread(target=sleep)
        thread.start()
        assert clock.wait_for_sleeper() == 10
        clock.advance(9)
        assert clock.wait_for_sleeper() == 1
        clock.advance(2)
        thread.join(60)
        assert woke_at == [11]

    def test_a_sleeper_wakes_when_notified(self) -> None:
        clock = ManualClock()
        condition = threading.Condition()

        def sleep() -> None:
            with condition:
                clock.wait(condition, 10)

        thread = threading.Thread(target=sleep)
        thread.start()
        clock.wait_for_sleeper()
        with condition:
            condition.notify_all()
        thread.join(60)
        assert not thread.is_alive()
        assert clock.now() == 0

    def test_waiting_for_a_sleeper_that_does_not_come_times_out(self) -> None:
        with pytest.raises(TimeoutError, match="no thread sleeps"):
            ManualClock().wait_for_sleeper(deadline_seconds=0.01)
