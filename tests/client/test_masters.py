"""Copies in higher precision that an optimizer trains in the place of the model's weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import bifurk
from bifurk.testing import InMemoryTransport

COARSE = torch.bfloat16


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 5)).to(COARSE)


def copies(of: nn.Module) -> list[torch.Tensor]:
    return [p.detach().float().requires_grad_() for p in of.parameters()]


def sent(net: nn.Module, trained: list[torch.Tensor]) -> dict[str, tuple[str, bytes]]:
    """Dtype and bits of every tensor after a step that moves what the optimizer has."""
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for one in trained:
        one.grad = torch.ones_like(one)
    transport = InMemoryTransport()
    with bifurk.watch(net, optimizer, every=1, transport=transport):
        optimizer.step()
    tensors = transport.parts()[-1].tensors
    return {t.name: (t.dtype, t.values.data.tobytes()) for t in tensors if t.values is not None}


def bits(values: torch.Tensor) -> bytes:
    return np.asarray(values.detach().numpy()).tobytes()


def test_the_copies_are_watched_under_the_names_of_the_model() -> None:
    net = model()
    masters = copies(net)
    found = sent(net, masters)
    names = [name for name, _ in net.named_parameters()]
    assert found == {
        name: ("float32", bits(master)) for name, master in zip(names, masters, strict=True)
    }


def test_weights_that_the_optimizer_has_itself_stay_beside_copies_of_others() -> None:
    net = model()
    last: nn.Module = net[2].float()  # type: ignore[index]
    found = sent(net, [*copies(net[:2]), *last.parameters()])  # type: ignore[index]
    assert {dtype for dtype, _ in found.values()} == {"float32"}
    assert found["2.weight"] == ("float32", bits(last.weight))


@pytest.mark.parametrize("wrong", ["order", "value", "number", "precision"])
def test_what_is_no_copy_is_not_taken_for_one(wrong: str) -> None:
    net = model()
    masters = copies(net)
    if wrong == "order":
        masters[2], masters[4] = masters[4], masters[2]
    elif wrong == "value":
        masters[0].data[0, 0] += 1
    elif wrong == "number":
        del masters[-1]
    else:
        masters = [p.detach().clone().requires_grad_() for p in net.parameters()]
    assert {dtype for dtype, _ in sent(net, masters).values()} == {"bfloat16"}


@pytest.mark.parametrize("unread", ["lazy", "meta"])
def test_weights_without_values_have_no_copies(unread: str) -> None:
    empty = nn.LazyLinear(5) if unread == "lazy" else nn.Linear(6, 5, device="meta")
    net = nn.Sequential(empty, nn.Linear(5, 5)).to(COARSE)
    shapes = ((5, 6), (5,), (5, 5), (5,))
    found = sent(net, [torch.zeros(shape, requires_grad=True) for shape in shapes])
    assert {name: dtype for name, (dtype, _) in found.items()} == {
        "1.weight": "bfloat16",
        "1.bias": "bfloat16",
    }


def test_a_parameter_in_the_place_of_another_has_not_its_copy() -> None:
    """New ones take over the ids of those they replace."""
    net = model()
    masters = copies(net)
    optimizer = torch.optim.SGD(masters, lr=0.1)
    transport = InMemoryTransport()
    with bifurk.watch(net, optimizer, transport=transport):
        net.load_state_dict({k: v + 1 for k, v in net.state_dict().items()}, assign=True)
        optimizer.step()
    assert {t.dtype for t in transport.parts()[-1].tensors} == {"bfloat16"}
