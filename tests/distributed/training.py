"""One of two processes that train one model in several forms: bare, watched, and killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel

import bifurk

RANKS = 2
STEPS = 5
EVERY = 2
SNAPSHOTS = 4
"""At the steps 0, 1, 2 and 4."""
KILLED_BEFORE = 2
"""The step that the second process does not live to take."""


class Net(nn.Module):
    """Two matrices of more than 16,384 elements, one with odd rows, and a head of a single row."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(151, 129)
        self.norm = nn.LayerNorm(129)
        self.up = nn.Linear(129, 134)
        self.head = nn.Linear(134, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.up(self.norm(self.embedding(tokens).mean(dim=1))))
        logits: torch.Tensor = self.head(nn.functional.dropout(hidden, p=0.1))
        return logits


ROWS = ("embedding.weight", "norm.weight", "norm.bias", "up.weight", "up.bias", "head.weight")
AXES: dict[str, dict[str, int]] = {
    "sharded": {**dict.fromkeys(ROWS, 0), "head.bias": 0},
    "tensor": {"up.weight": 0, "up.bias": 0, "head.weight": 1},
    "replicated": {},
}
"""Of each form, along which axis each tensor is cut; the others lie whole on both ranks."""


def distribute(model: Net, form: str, mesh: DeviceMesh) -> nn.Module:
    if form == "sharded":
        for layer in (model.embedding, model.up, model.head, model):
            fully_shard(layer, mesh=mesh)
        return model
    if form == "tensor":
        plan = {"up": ColwiseParallel(), "head": RowwiseParallel()}
        return parallelize_module(model, mesh, plan)
    return DistributedDataParallel(model)


def train(mesh: DeviceMesh, *, form: str, run: str | None, folder: Path) -> dict[str, Any]:
    """What a training leaves behind on this rank: every step's shards and loss, random state."""
    torch.manual_seed(0)
    model = distribute(Net(), form, mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    # Where the ranks hold parts of one layer, both see the same tokens.
    torch.manual_seed(1 if form == "tensor" else 1 + dist.get_rank())
    monitor = None
    if run is not None:
        monitor = bifurk.watch(
            model, optimizer, run=run, every=EVERY, payload="full", spool_dir=folder / "spool"
        )
    left: dict[str, Any] = {"shards": [shards(model)], "losses": []}
    for step in range(1, STEPS + 1):
        tokens = torch.randint(0, 151, (8, 16))
        loss = nn.functional.mse_loss(model(tokens)[:, 0], tokens[:, 0] / 151)
        optimizer.zero_grad()
        loss.backward()
        if run == "killed" and step == KILLED_BEFORE and dist.get_rank() == 1:
            assert monitor is not None
            assert monitor.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        optimizer.step()
        left["shards"].append(shards(model))
        left["losses"].append(loss.item())
    left["random"] = torch.get_rng_state()
    if monitor is not None:
        monitor.close()
    return left


def shards(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix("module."): (p.to_local() if isinstance(p, DTensor) else p)
        .detach()
        .clone()
        for name, p in model.named_parameters()
    }


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=RANKS
    )
    mesh = init_device_mesh("cpu", (RANKS,))
    left = {
        form: {
            "bare": train(mesh, form=form, run=None, folder=folder),
            "watched": train(mesh, form=form, run=form, folder=folder),
        }
        for form in AXES
    }
    torch.save(left, folder / f"rank{rank}.pt")
    train(mesh, form="sharded", run="killed", folder=folder)


if __name__ == "__main__":
    main()
