"""One real server and one real training for the whole area."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import bifurk
from tests.server import Server

STEPS = 64
EVERY = 8
FAULT_STEP = 60
"""Once, in the second run: one block's matrices are multiplied in place."""

Weights = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Trained:
    """A server that watched a training, its run, and what the weights were at every step."""

    server: Server
    run: dict[str, Any]
    seen: dict[int, Weights]


class Block(torch.nn.Module):
    """Three tensors of one layer, one of them large enough to travel as counts."""

    def __init__(self) -> None:
        super().__init__()
        up, down = torch.nn.Linear(64, 320), torch.nn.Linear(320, 64, dtype=torch.bfloat16)
        self.mlp = torch.nn.ModuleDict({"up": up, "down": down})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.mlp["up"](x))
        return x + self.mlp["down"](hidden.bfloat16()).float()


class Network(torch.nn.Module):
    """float32 and bfloat16, small and large, matrices and vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(2))
        self.head = torch.nn.Linear(64, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def train(
    server: Server, *, run: str, every: int, steps: int, fault: int | None = None
) -> dict[int, Weights]:
    """Trains through the hook as a user would; what the weights were after every step."""
    torch.manual_seed(0)
    model = Network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    teacher = torch.randn(64, 8)
    seen = {0: weights(model)}
    with bifurk.watch(
        model, optimizer, url=server.url, project="e2e", run=run, every=every, overhead_budget=None
    ) as monitor:
        for step in range(1, steps + 1):
            inputs = torch.randn(32, 64)
            loss = (model(inputs) - inputs @ teacher).square().mean()
            optimizer.zero_grad()
            loss.backward()
            if step == fault:
                multiply(model.blocks[1])
            optimizer.step()
            monitor.log(loss=loss)
            assert monitor.flush(), "no snapshot is left out, however busy the machine is"
            if step == 20:
                monitor.mark("checkpoint", path="ckpt/20.pt")
            seen[step] = weights(model)
    return seen


@torch.no_grad()
def multiply(module: torch.nn.Module) -> None:
    """The fault: nobody is told."""
    for parameter in module.parameters():
        parameter.mul_(3)


def weights(model: torch.nn.Module) -> Weights:
    """The weights as they are now, in float64."""
    return {n: p.detach().double().numpy().copy() for n, p in model.named_parameters()}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """A server that watched one short training to its end."""
    server = Server(tmp_path_factory.mktemp("e2e") / "server")
    seen = train(server, run="sound", every=EVERY, steps=STEPS)
    [run] = server.get("/api/v1/runs?project=e2e&run=sound")["items"]
    yield Trained(server, server.wait_until_judged(run["id"], 1), seen)
    server.stop()


@pytest.fixture(scope="session")
def faulty(trained: Trained) -> Trained:
    """The same with a snapshot every step and a fault in block 1."""
    seen = train(trained.server, run="faulty", every=1, steps=FAULT_STEP + 15, fault=FAULT_STEP)
    [run] = trained.server.get("/api/v1/runs?project=e2e&run=faulty")["items"]
    return Trained(trained.server, trained.server.wait_until_judged(run["id"], FAULT_STEP), seen)
