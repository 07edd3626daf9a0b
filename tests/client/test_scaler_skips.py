"""A fused optimizer is stepped even where the scaler found an overflow: that is no step."""

from __future__ import annotations

import pytest
import torch

import bifurk
from bifurk.testing import InMemoryTransport
from tests.client.training import SmallNet, steps_of, weights


@pytest.mark.parametrize("fused", [True, False])
def test_an_overflow_is_no_step(fused: bool) -> None:
    torch.manual_seed(0)
    model = SmallNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)
    scaler = torch.amp.GradScaler("cpu")
    transport = InMemoryTransport()
    before = {}
    with bifurk.watch(model, optimizer, run="r", every=1, transport=transport) as monitor:
        for overflows in (False, True, False, True, True, False):
            tokens = torch.randint(0, 150, (8, 16))
            loss = model(tokens).square().mean()
            optimizer.zero_grad()
            scaler.scale(loss * (torch.inf if overflows else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
            before[monitor.step] = weights(model)
    assert steps_of(transport.parts()) == [0, 1, 2, 3]
    last = transport.parts()[-1]
    assert all(
        tensor.values is None
        or tensor.values.data.tobytes() == before[3][tensor.name].numpy().tobytes()
        for tensor in last.tensors
    )
