"""Trainings that go back: what follows is an attempt of its own, and nothing of either is lost."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import bifurk
from bifurk import lineage
from bifurk.capture import Capture
from bifurk.session import Session
from bifurk.testing import InMemoryTransport
from bifurk.wire import Manifest, decode_attempt
from tests.client.training import new_training, same_bits, steps_of, train, weights


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


def watch(model: torch.nn.Module, optimizer: Any, transport: Any, **settings: Any) -> Session:
    defaults = {"project": "p", "run": "r", "attempt": "a", "every": 4, "overhead_budget": None}
    monitor = bifurk.watch(model, optimizer, transport=transport, **(defaults | settings))
    assert isinstance(monitor, Session)
    return monitor


def manifests(transport: InMemoryTransport, attempt: str) -> list[Manifest]:
    return [part.manifest for part in transport.parts() if part.manifest.attempt == attempt]


def states(transport: InMemoryTransport, attempt: str) -> list[Any]:
    return [
        decode_attempt(request.body)
        for request in transport.requests
        if request.path.endswith(f"/attempts/{attempt}")
    ]


def test_a_loaded_checkpoint_begins_another_attempt_from_its_weights(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=8)
        kept = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        train(model, optimizer, steps=6, monitor=monitor)
        model.load_state_dict(kept[0])
        optimizer.load_state_dict(kept[1])
        assert monitor.step == 8
        at_seam = weights(model)
        monitor.mark("restored", path="checkpoint-8")
        train(model, optimizer, steps=5, monitor=monitor)
    first, second = manifests(transport, "a"), manifests(transport, "a.2")
    assert [m.step for m in first] == [0, 1, 2, 4, 8, 12]
    assert [m.step for m in second] == [8, 12]
    assert [m.sequence for m in second] == [0, 1]
    assert [m.previous_step for m in second] == [None, 8]
    marks = [(mark.kind, mark.step) for mark in second[0].marks]
    assert marks == [("restored", 8), ("resume", 8)]
    assert second[0].marks[1].details == {"from_step": 14, "attempt": "a"}
    seam = next(part for part in transport.parts() if part.manifest == second[0])
    assert same_bits(seam.tensors[-1].values, at_seam["output.bias"])


def test_the_attempt_gone_back_from_is_told_to_have_ended_with_what_it_had_left(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=6, monitor=monitor)
        monitor.mark("evaluation", loss=1.0)
        monitor.set_step(2)
        train(model, optimizer, steps=2, monitor=monitor)
    first, second = states(transport, "a"), states(transport, "a.2")
    assert [one.state for one in first] == ["running", "finished"]
    assert [one.state for one in second] == ["running", "finished"]
    assert (first[-1].last_step, first[-1].last_sequence) == (6, 3)
    assert [mark.kind for mark in first[-1].marks] == ["evaluation"]
    assert first[-1].scalars["loss"].count == 3
    assert (second[-1].last_step, second[-1].last_sequence) == (4, 1)
    last_of_first = max(
        place for place, one in enumerate(transport.requests) if "/attempts/a/" in one.path
    )
    told = [one.path for one in transport.requests[last_of_first:]]
    assert any(path.endswith("/attempts/a") for path in told), "the end comes behind its snapshots"


def test_losses_stay_with_the_attempt_they_belong_to(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=4)
        monitor._ledger.drop("busy", 1)
        monitor.set_step(0)
        train(model, optimizer, steps=4)
        monitor._ledger.drop("spool_full", 2)
        monitor._ledger.drop("busy", 5)
    assert states(transport, "a")[-1].loss_report.lost_sequences == ((1, 2),)
    assert states(transport, "a.2")[-1].loss_report.lost_sequences == ((1, 1),)
    assert states(transport, "a.2")[-1].loss_report.dropped == {"busy": 1}


def test_a_step_back_between_two_snapshots_is_no_attempt(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=6)
        monitor.set_step(5)
        train(model, optimizer, steps=3)
    assert {part.manifest.attempt for part in transport.parts()} == {"a"}
    assert steps_of(transport.parts()) == [0, 1, 2, 4, 8]


def test_a_state_of_the_same_step_and_a_later_one_are_no_way_back(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport):
        train(model, optimizer, steps=5)
        optimizer.load_state_dict(optimizer.state_dict())
        later = optimizer.state_dict()
        for state in later["state"].values():
            state["step"] = state["step"] + 100
        optimizer.load_state_dict(later)
        train(model, optimizer, steps=3)
    assert steps_of(transport.parts()) == [0, 1, 2, 4, 8]


def test_a_training_that_ends_gone_back_has_one_attempt_and_its_whole_end(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=6, monitor=monitor)
        monitor.set_step(0)
    [_, end] = states(transport, "a")
    assert (end.state, end.last_step, end.scalars["loss"].count) == ("finished", 6, 3)
    assert len(transport.requests) == 2 + len(transport.parts())


def test_a_loop_that_sets_its_step_back_for_ever_makes_a_bounded_number_of_attempts(
    transport: InMemoryTransport,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(lineage, "MOST_LIVES", 3)
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        for _ in range(6):
            train(model, optimizer, steps=2)
            monitor.set_step(0)
    assert {part.manifest.attempt for part in transport.parts()} == {"a", "a.2", "a.3"}
    assert "no snapshots until it has passed 2" in caplog.text


def test_training_is_the_same_to_the_bit_with_a_way_back_and_without_a_watch() -> None:
    def losses(*, watched: bool) -> list[float]:
        model, optimizer = new_training()
        if watched:
            monitor = watch(model, optimizer, InMemoryTransport(), every=1)
        before = train(model, optimizer, steps=3)
        kept = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        between = train(model, optimizer, steps=3)
        model.load_state_dict(kept[0])
        optimizer.load_state_dict(kept[1])
        after = train(model, optimizer, steps=3)
        if watched:
            monitor.close()
        return [*before, *between, *after]

    assert losses(watched=True) == losses(watched=False)


def test_ranks_go_back_alike_whichever_of_them_was_too_busy_for_a_snapshot(
    transport: InMemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=3)
        with monkeypatch.context() as busy:
            busy.setattr(Capture, "take", lambda *_, **__: None)
            train(model, optimizer, steps=3)
        monitor.set_step(3)
        train(model, optimizer, steps=1)
    assert [m.step for m in manifests(transport, "a")] == [0, 1, 2]
    assert [(m.step, m.sequence) for m in manifests(transport, "a.2")] == [(4, 0)]
    assert states(transport, "a")[-1].loss_report.lost_sequences == ((3, 3),)


def test_a_state_whose_count_cannot_be_read_is_no_way_back(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=5)
        unreadable = copy.deepcopy(optimizer.state_dict())
        for state in unreadable["state"].values():
            state["step"] = torch.tensor(float("nan"))
        optimizer.load_state_dict(unreadable)
        assert monitor.step == 5


@pytest.mark.parametrize("behind", [8, 13])
def test_a_look_at_an_earlier_checkpoint_is_no_way_back(
    transport: InMemoryTransport, behind: int
) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=behind)
        earlier = copy.deepcopy(optimizer.state_dict())
        train(model, optimizer, steps=14 - behind, monitor=monitor)
        monitor.log(here=1.0)
        monitor.mark("before")
        latest = copy.deepcopy(optimizer.state_dict())
        optimizer.load_state_dict(earlier)
        assert monitor.step == behind
        monitor.log(validation=2.0)
        optimizer.load_state_dict(latest)
        assert monitor.step == 14
        train(model, optimizer, steps=2)
    assert [m.step for m in manifests(transport, "a")] == [0, 1, 2, 4, 8, 12, 16]
    last = manifests(transport, "a")[-1]
    assert {"here", "validation", "loss"} == set(last.scalars)
    assert [mark.kind for mark in last.marks] == ["before"]


def test_whose_optimizer_begins_anew_says_where_it_is_and_goes_on(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_training()
    fresh = copy.deepcopy(optimizer.state_dict())
    with watch(model, optimizer, transport) as monitor:
        for reached in (5, 10, 16):
            train(model, optimizer, steps=6)
            optimizer.load_state_dict(fresh)
            monitor.set_step(reached)
    assert {part.manifest.attempt for part in transport.parts()} == {"a"}
    assert steps_of(transport.parts()) == [0, 1, 2, 4, 8, 12, 16]
    assert monitor.step == 16
