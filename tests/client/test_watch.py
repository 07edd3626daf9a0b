"""Real training loops, watched: nothing changes for them, and the right weights leave."""

from __future__ import annotations

import gc
import logging
import os
import threading
import weakref
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

import bifurk
from bifurk import sketch as sketches
from bifurk.identity import Rank
from bifurk.session import Session
from bifurk.testing import InMemoryTransport
from bifurk.transport import Request, Response
from bifurk.wire import content_digest
from tests.client.training import SmallNet, new_training, same_bits, steps_of, train, weights


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


def watch(model: nn.Module, optimizer: Any, transport: Any, **settings: Any) -> bifurk.Monitor:
    defaults: dict[str, Any] = {
        "project": "tests",
        "run": "watch",
        "every": 4,
        "overhead_budget": None,
    }
    return bifurk.watch(model, optimizer, transport=transport, **(defaults | settings))


def test_losses_are_bit_identical_with_and_without(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    unwatched = train(model, optimizer)
    model, optimizer = new_training()
    with watch(model, optimizer, transport, every=1) as monitor:
        watched = train(model, optimizer, monitor=monitor)
    assert watched == unwatched


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("payload", ["auto", "sketch"])
def test_what_leaves_are_the_weights_after_that_step_bit_for_bit(
    transport: InMemoryTransport, dtype: torch.dtype, payload: str
) -> None:
    model, optimizer = new_training(dtype=dtype)
    seen = {0: weights(model)}
    with watch(model, optimizer, transport, payload=payload):
        train(model, optimizer, each_step=lambda step: seen.update({step: weights(model)}))
    parts = transport.parts()
    assert steps_of(parts) == [0, 1, 2, 4, 8, 12]
    for part in parts:
        truth = seen[part.manifest.step]
        assert [tensor.name for tensor in part.tensors] == list(truth)
        for tensor in part.tensors:
            expected = truth[tensor.name]
            assert tensor.shape == tuple(expected.shape)
            if expected.numel() <= sketches.SMALL_TENSOR_ELEMENTS:
                assert same_bits(tensor.values, expected)
                continue
            positions = torch.from_numpy(sketches.sample_positions(expected.numel()))
            assert same_bits(tensor.sample, expected.view(-1)[positions])
            assert tensor.counts is not None
            rounded = sketches.sketch(expected.bfloat16().float().numpy())
            np.testing.assert_array_equal(tensor.counts.keys, rounded.keys)
            np.testing.assert_array_equal(tensor.counts.counts, rounded.counts)
            if payload == "auto":
                assert same_bits(tensor.full, expected)
            else:
                assert tensor.full is None


def test_every_report_brings_the_tags(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport, tags=["größe", "lr=3e-4"]) as monitor:
        train(model, optimizer, steps=1, monitor=monitor)
    assert {tuple(state["tags"]) for state in transport.states()} == {("größe", "lr=3e-4")}


def test_the_manifest_says_who_posts_and_what_trains(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport, attempt="a1", display_name="A run") as monitor:
        train(model, optimizer, steps=3, monitor=monitor)
        monitor.mark("checkpoint", path="ckpt/3.pt")
        train(model, optimizer, steps=1, monitor=monitor)
    last = transport.parts()[-1].manifest
    assert (last.project, last.run, last.attempt) == ("tests", "watch", "a1")
    assert last.display_name == "A run"
    assert (last.step, last.sequence, last.previous_step) == (4, 3, 2)
    assert last.optimizer == "AdamW"
    assert last.learning_rates == (1e-3,)
    assert last.optimizer_settings["betas.1"] == 0.999
    assert last.scalars["loss"].count == 2
    (mark,) = last.marks
    assert (mark.kind, mark.step, mark.details) == ("checkpoint", 3, {"path": "ckpt/3.pt"})
    assert last.client["torch"] == torch.__version__
    assert last.wall_clock_seconds > 1.7e9


def test_requests_carry_paths_and_digests_the_server_expects(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport, attempt="a1"):
        train(model, optimizer, steps=1)
    start, first, second, end = transport.requests
    attempt = "/api/v1/projects/tests/runs/watch/attempts/a1"
    assert start.path == end.path == attempt
    assert first.path == f"{attempt}/snapshots/0/parts/0"
    assert second.path == f"{attempt}/snapshots/1/parts/0"
    assert second.headers["Content-Encoding"] == "zstd"
    assert second.headers["Content-Digest"] == content_digest(second.body)


def test_scalars_are_summarised_over_the_interval(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport, log_start=False) as monitor:
        losses = train(model, optimizer, steps=5, monitor=monitor)
    summary = transport.parts()[1].manifest.scalars["loss"]
    # The hook of step 4 runs before that step's log().
    assert (summary.last, summary.count) == (losses[2], 3)
    assert summary.mean == pytest.approx(sum(losses[:3]) / 3)
    assert (summary.min, summary.max) == (min(losses[:3]), max(losses[:3]))


def test_states_run_from_running_to_finished(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    monitor = watch(model, optimizer, transport)
    train(model, optimizer, steps=5)
    monitor.close()
    start, end = transport.states()
    assert (start["state"], start["last_sequence"]) == ("running", None)
    assert (end["state"], end["last_sequence"], end["last_step"]) == ("finished", 3, 5)
    assert end["interval_seconds"] > 0


class Wordless(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("nothing to say")


@pytest.mark.parametrize(
    ("error", "kind", "details"),
    [
        (RuntimeError("diverged"), "exception", {"type": "RuntimeError", "message": "diverged"}),
        (Wordless(), "exception", {"type": "Wordless", "message": ""}),
        (KeyboardInterrupt(), "interrupted", {}),
    ],
)
def test_a_block_that_raises_has_failed_and_says_of_what(
    transport: InMemoryTransport, error: BaseException, kind: str, details: dict[str, str]
) -> None:
    model, optimizer = new_training()

    def diverge(_: int) -> None:
        raise error

    with pytest.raises(type(error)), watch(model, optimizer, transport):
        train(model, optimizer, steps=1, each_step=diverge)
    end = transport.states()[-1]
    assert end["state"] == "failed"
    assert end["marks"] == [{"kind": kind, "step": 1, "details": details}]


def test_after_close_training_goes_on_unwatched(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    monitor = watch(model, optimizer, transport)
    train(model, optimizer, steps=2)
    monitor.close()
    monitor.close()
    requests = len(transport.requests)
    train(model, optimizer, steps=10, monitor=monitor)
    monitor.mark("checkpoint")
    monitor.set_step(3)
    assert monitor.flush(0) is False
    assert len(transport.requests) == requests
    assert isinstance(monitor, Session)
    assert not monitor._recorder._capture._plan._free
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks


def test_the_same_optimizer_twice_is_the_same_monitor_until_closed(
    transport: InMemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    model, optimizer = new_training()
    monitor = watch(model, optimizer, transport)
    assert watch(model, optimizer, transport, every=7) is monitor
    assert "watched already" in caplog.text
    monitor.close()
    again = watch(model, optimizer, transport)
    assert again is not monitor
    again.close()


def test_of_several_optimizers_the_first_is_the_clock(transport: InMemoryTransport) -> None:
    model = SmallNet()
    first = torch.optim.SGD(model.output.parameters(), lr=0.1)
    second = torch.optim.AdamW(model.embedding.parameters(), lr=0.2)
    with watch(model, [first, second], transport):
        train(model, first, steps=2, each_step=lambda _: second.step())
    parts = transport.parts()
    assert steps_of(parts) == [0, 1, 2]
    assert parts[0].manifest.optimizer == "SGD+AdamW"
    assert parts[0].manifest.learning_rates == (0.1, 0.2)


def test_a_resumed_optimizer_goes_on_counting(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    train(model, optimizer, steps=7)
    saved = optimizer.state_dict()
    model, optimizer = new_training()
    with watch(model, optimizer, transport):
        optimizer.load_state_dict(saved)
        train(model, optimizer, steps=5)
    assert steps_of(transport.parts()) == [8, 12]


def test_the_given_start_step_wins(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    train(model, optimizer, steps=7)
    with watch(model, optimizer, transport, start_step=100):
        train(model, optimizer, steps=5)
    assert steps_of(transport.parts()) == [100, 104]


def test_the_first_snapshot_holds_what_was_loaded_after_watch(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport):
        with torch.no_grad():
            model.output.bias.fill_(0.25)
        train(model, optimizer, steps=1)
    bias = transport.parts()[0].tensors[-1]
    assert same_bits(bias.values, torch.full((10,), 0.25))


def test_set_step_moves_the_grid_and_never_repeats_a_step(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=5)
        monitor.set_step(10)
        train(model, optimizer, steps=3)
        monitor.set_step(12)
        train(model, optimizer, steps=4)
    assert steps_of(transport.parts()) == [0, 1, 2, 4, 12, 16]
    assert [part.manifest.sequence for part in transport.parts()] == [0, 1, 2, 3, 4, 5]


def test_a_compiled_and_a_wrapped_model_keep_their_names(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    compiled = cast("nn.Module", torch.compile(model, backend="eager"))
    with watch(compiled, optimizer, transport):
        del compiled
        train(model, optimizer, steps=1)
    assert transport.parts()[-1].tensors[0].name == "embedding.weight"


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
def test_a_compiled_step_is_watched_without_a_word(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    eagerly = torch.compile(optimizer.step, backend="eager")
    with watch(model, optimizer, transport):
        for _ in range(4):
            model(torch.zeros((2, 4), dtype=torch.long)).sum().backward()
            eagerly()
    assert steps_of(transport.parts()) == [0, 1, 2, 4]


def test_disabled_does_nothing_at_all(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport, mode="disabled") as monitor:
        train(model, optimizer, monitor=monitor)
        monitor.mark("checkpoint")
        assert monitor.flush()
    assert transport.requests == []
    assert not optimizer._optimizer_step_post_hooks


class BlockedTransport(InMemoryTransport):
    """Takes nothing until opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        self.open.wait(deadline_seconds)
        return super().send(request, deadline_seconds=deadline_seconds)


def test_flush_waits_for_everything_and_says_when_it_could_not() -> None:
    transport = BlockedTransport()
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, steps=2)
        assert monitor.flush(0.05) is False
        transport.open.set()
        assert monitor.flush(60) is True
        assert steps_of(transport.parts()) == [0, 1, 2]


def test_snapshots_taken_faster_than_encoded_are_counted_not_waited_for(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_training()
    monitor = watch(model, optimizer, transport, every=1)
    assert isinstance(monitor, Session)
    busy, done = threading.Event(), threading.Event()
    monitor._encoder.call(busy.set)

    def keep_busy() -> None:
        done.wait(60)

    monitor._encoder.call(keep_busy)
    assert busy.wait(60)
    train(model, optimizer, steps=12)
    done.set()
    monitor.close()
    parts, report = transport.parts(), transport.states()[-1]["loss_report"]
    lost = report["dropped"]["busy"]
    assert lost > 0
    assert len(parts) + lost == 13
    assert sum(last - first + 1 for first, last in report["lost_sequences"]) == lost


def test_a_model_and_its_optimizer_are_never_kept_alive(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    monitor = watch(model, optimizer, transport)
    train(model, optimizer, steps=1)
    gone = weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert gone() is None
    requests = transport.wait_for_requests(4)
    assert b'"finished"' in requests[-1].body
    assert isinstance(monitor, Session)
    assert monitor.closed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_trains_on_unwatched(transport: InMemoryTransport) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport, every=1) as monitor:
        assert monitor.flush()
        assert isinstance(monitor, Session)
        child = os.fork()
        if child == 0:
            train(model, optimizer, steps=3, monitor=monitor)
            monitor.mark("checkpoint")
            monitor.close()
            os._exit(0 if monitor._recorder.last_sequence is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        train(model, optimizer, steps=1)
    assert steps_of(transport.parts()) == [0, 1]


def test_ranks_but_the_first_have_nothing_to_do(
    transport: InMemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bifurk.watching.current_rank", lambda: Rank(rank=1, ranks=2))
    model, optimizer = new_training()
    with watch(model, optimizer, transport) as monitor:
        train(model, optimizer, monitor=monitor)
    assert transport.requests == []


def test_over_budget_the_interval_doubles_and_a_mark_says_so(
    transport: InMemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    model, optimizer = new_training()
    with watch(model, optimizer, transport, every=2, overhead_budget=1e-9) as monitor:
        train(model, optimizer, steps=40, each_step=lambda _: monitor.flush())
    parts = transport.parts()
    marks = [mark for part in parts for mark in part.manifest.marks]
    assert (marks[0].kind, marks[0].details) == ("interval", {"from": 2, "to": 4})
    assert marks[0].step % 4 == 0
    after = [step for step in steps_of(parts) if step >= marks[0].step]
    assert after[1] - after[0] == 4
    assert "of the training time: interval from 2 to 4" in caplog.text


def test_watching_is_announced_once(
    transport: InMemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    model, optimizer = new_training()
    with caplog.at_level(logging.INFO, "bifurk"):
        watch(model, optimizer, transport, attempt="a1").close()
    assert "watching 5 tensors as tests/watch, attempt a1" in caplog.text
