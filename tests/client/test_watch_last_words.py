"""Marks and scalars arrive whatever becomes of the snapshot that was to carry them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import bifurk
from bifurk.encoder import Encoder
from bifurk.marks import MAX_MARKS, MAX_TEXT_CHARACTERS
from bifurk.monitor import Monitor
from bifurk.testing import InMemoryTransport
from bifurk.transport import Request
from bifurk.wire import AttemptReport, WireLimits, decode_attempt
from tests.client.training import new_training, train


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


def start(
    transport: InMemoryTransport, **settings: Any
) -> tuple[torch.nn.Module, torch.optim.Optimizer, Monitor]:
    model, optimizer = new_training()
    chosen = {"every": 4, "overhead_budget": None} | settings
    monitor = bifurk.watch(model, optimizer, run="r", transport=transport, **chosen)
    return model, optimizer, monitor


def last_report(transport: InMemoryTransport) -> AttemptReport:
    return decode_attempt(transport.requests[-1].body)


def test_what_is_said_after_the_last_snapshot_comes_with_the_end(
    transport: InMemoryTransport,
) -> None:
    model, optimizer, monitor = start(transport)
    losses = train(model, optimizer, steps=6, monitor=monitor)
    monitor.mark("checkpoint", path="ckpt/6.pt")
    monitor.close()
    assert transport.states()[0]["marks"] == []
    end = last_report(transport)
    (mark,) = end.marks
    assert (mark.kind, mark.step, mark.details) == ("checkpoint", 6, {"path": "ckpt/6.pt"})
    # The hook of step 4 ran before that step's log().
    assert (end.scalars["loss"].last, end.scalars["loss"].count) == (losses[-1], 3)


def test_what_a_part_has_carried_does_not_come_again(transport: InMemoryTransport) -> None:
    model, optimizer, monitor = start(transport)
    train(model, optimizer, steps=3, monitor=monitor)
    monitor.mark("checkpoint")
    train(model, optimizer, steps=1)
    monitor.close()
    assert [mark.kind for mark in transport.parts()[-1].manifest.marks] == ["checkpoint"]
    assert last_report(transport).marks == ()
    assert last_report(transport).scalars == {}


@pytest.mark.usefixtures("production_wall")
def test_marks_of_a_snapshot_that_could_not_be_encoded_go_with_the_next(
    transport: InMemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = Encoder._encode

    def fails_at_step_2(self: Encoder, taken: Any) -> Request:
        if taken.step == 2:
            raise RuntimeError("a fault of ours")
        return works(self, taken)

    monkeypatch.setattr(Encoder, "_encode", fails_at_step_2)
    model, optimizer, monitor = start(transport)
    train(model, optimizer, steps=1)
    monitor.mark("first")
    train(model, optimizer, steps=1)
    monitor.flush()
    monitor.mark("second")
    train(model, optimizer, steps=2)
    monitor.close()
    last = transport.parts()[-1].manifest
    assert last.step == 4
    assert [mark.kind for mark in last.marks] == ["first", "second"]


def test_marks_of_a_snapshot_that_found_no_room_come_with_the_end(
    transport: InMemoryTransport,
) -> None:
    model, optimizer, monitor = start(transport, spool_bytes=2_000)
    monitor.mark("resume")
    train(model, optimizer, steps=1)
    monitor.flush()
    monitor.mark("checkpoint")
    monitor.close()
    assert transport.parts() == []
    end = last_report(transport)
    assert end.loss_report.dropped == {"memory_full": 2}
    assert [mark.kind for mark in end.marks] == ["resume", "checkpoint"]


def test_an_end_too_large_for_a_server_leaves_the_oldest_marks_out(
    transport: InMemoryTransport,
) -> None:
    _, optimizer, monitor = start(transport)
    text = "x" * MAX_TEXT_CHARACTERS
    for number in range(MAX_MARKS):
        monitor.mark(f"m{number}", **{f"text{n}": text for n in range(12)})
    monitor.close()
    del optimizer
    assert len(transport.requests[-1].body) <= WireLimits().attempt_bytes
    marks = last_report(transport).marks
    assert len(marks) == MAX_MARKS // 2
    assert marks[-1].kind == f"m{MAX_MARKS - 1}"


def test_after_a_413_snapshots_go_without_full_values_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = InMemoryTransport([201, 413, 413])
    model, optimizer, monitor = start(transport, every=1, payload="full")
    train(model, optimizer, steps=1)
    monitor.flush()
    train(model, optimizer, steps=2)
    monitor.close()
    parts = transport.parts()
    carried = [any(tensor.full is not None for tensor in part.tensors) for part in parts]
    # The second one may have been on its way before the first was refused.
    assert (carried[0], carried[2:]) == (True, [False, False])
    (mark,) = [mark for part in parts for mark in part.manifest.marks]
    assert (mark.kind, mark.details) == ("payload", {"from": "full", "to": "sketch"})
    assert sum("larger than the server takes" in message for message in caplog.messages) == 1
