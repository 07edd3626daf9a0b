"""One step of the optimizer counts once, whoever calls whom and whatever raises."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

import bifurk
from bifurk.testing import InMemoryTransport
from tests.client.training import SmallNet, same_bits, steps_of, train, weights


class Halving(torch.optim.SGD):
    """Halves what its base class has left, as decoupled weight decay does."""

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        loss = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.mul_(0.5)
        return loss


class TryingAgain(torch.optim.SGD):
    """Takes the step once more when the first try fails."""

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        del closure
        with pytest.raises(RuntimeError):
            super().step(fail)
        return super().step()


def fail() -> float:
    raise RuntimeError("the closure's fault")


def new_model(kind: type[torch.optim.SGD]) -> tuple[SmallNet, torch.optim.SGD]:
    """A model with an optimizer whose base class is in use as well: torch hooks both."""
    torch.manual_seed(0)
    model = SmallNet()
    torch.optim.SGD(model.parameters(), lr=0.1)
    return model, kind(model.parameters(), lr=0.1)


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


def watch(model: torch.nn.Module, optimizer: Any, transport: InMemoryTransport) -> bifurk.Monitor:
    return bifurk.watch(
        model, optimizer, run="r", every=4, overhead_budget=None, transport=transport
    )


def test_a_step_that_calls_its_base_class_counts_once_and_is_read_at_its_end(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_model(Halving)
    seen = {}
    with watch(model, optimizer, transport):
        train(model, optimizer, steps=8, each_step=lambda s: seen.update({s: weights(model)}))
    parts = transport.parts()
    assert steps_of(parts) == [0, 1, 2, 4, 8]
    for part in parts[1:]:
        bias = part.tensors[-1]
        assert same_bits(bias.values, seen[part.manifest.step]["output.bias"])


def test_a_base_class_that_raised_inside_does_not_stand_in_the_way(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_model(TryingAgain)
    with watch(model, optimizer, transport):
        train(model, optimizer, steps=8)
    assert steps_of(transport.parts()) == [0, 1, 2, 4, 8]


@pytest.mark.parametrize("depth", [0, 1, 5])
@pytest.mark.parametrize("kind", [torch.optim.SGD, Halving])
def test_a_step_that_raised_is_none_and_the_next_one_counts(
    kind: type[torch.optim.SGD], depth: int, transport: InMemoryTransport
) -> None:
    model, optimizer = new_model(kind)

    def further_in(call: Callable[[], Any], levels: int = depth) -> None:
        further_in(call, levels - 1) if levels else call()

    with watch(model, optimizer, transport) as monitor:
        for _ in range(3):
            with pytest.raises(RuntimeError, match="the closure's fault"):
                optimizer.step(fail)
        further_in(lambda: train(model, optimizer, steps=2))
        with pytest.raises(RuntimeError, match="the closure's fault"):
            further_in(lambda: optimizer.step(fail))
        assert monitor.flush()
        train(model, optimizer, steps=2)
    assert steps_of(transport.parts()) == [0, 1, 2, 4]


def test_an_optimizer_inside_another_counts_by_itself(transport: InMemoryTransport) -> None:
    model, inner = new_model(Halving)

    class Outer(torch.optim.SGD):
        def step(self, closure: Callable[[], float] | None = None) -> Any:
            return inner.step(closure)

    outer = Outer(model.parameters(), lr=0.1)
    with watch(model, inner, transport):
        train(model, outer, steps=4)
    assert steps_of(transport.parts()) == [0, 1, 2, 4]


def test_steps_that_a_cuda_graph_records_are_not_steps(
    transport: InMemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = new_model(torch.optim.SGD)
    with watch(model, optimizer, transport):
        with monkeypatch.context() as recording:
            recording.setattr(torch.cuda, "is_initialized", lambda: True)
            recording.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
            train(model, optimizer, steps=3)
        assert transport.parts() == []
        train(model, optimizer, steps=2)
    assert steps_of(transport.parts()) == [0, 1, 2]


def test_an_adversary_that_is_frozen_while_the_first_optimizer_steps_is_watched() -> None:
    transport = InMemoryTransport()
    model = torch.nn.ModuleDict({"one": torch.nn.Linear(3, 3), "other": torch.nn.Linear(3, 3)})
    first, second = (torch.optim.SGD(part.parameters(), lr=0.1) for part in model.values())
    with bifurk.watch(model, [first, second], run="r", every=1, transport=transport):
        for _ in range(2):
            model["other"].requires_grad_(False)
            model["other"](model["one"](torch.ones(1, 3))).sum().backward()
            first.step()
            model["other"].requires_grad_(True)
            second.step()
        # What is in the first one's hands and frozen is frozen.
        model["one"].bias.requires_grad_(False)
        first.step()
    names = [[tensor.name for tensor in part.tensors] for part in transport.parts()]
    everything = [name for name, _ in model.named_parameters()]
    assert names[:3] == [everything] * 3
    assert "one.bias" not in names[3]


def adam(model: torch.nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=0.1)


def test_the_step_that_makes_room_for_a_distributed_checkpoint_is_none(
    transport: InMemoryTransport,
) -> None:
    model = SmallNet()
    optimizer = adam(model)
    train(model, optimizer, steps=6)
    kept = copy.deepcopy(get_optimizer_state_dict(model, optimizer))
    resumed = adam(model)
    with watch(model, resumed, transport) as monitor:
        set_optimizer_state_dict(model, resumed, kept)
        assert not transport.parts()
        train(model, resumed, steps=3)
        assert monitor.step == 9
    assert steps_of(transport.parts()) == [8]


def test_saving_a_distributed_checkpoint_of_an_optimizer_without_a_state_is_no_step(
    transport: InMemoryTransport,
) -> None:
    model, optimizer = new_model(torch.optim.SGD)
    with watch(model, optimizer, transport) as monitor:
        for steps in (2, 4):
            train(model, optimizer, steps=2)
            optimizer.zero_grad()
            get_optimizer_state_dict(model, optimizer)
            assert monitor.step == steps
