"""Two processes that share one model: what both post makes up what torch itself gathers.

Run by ``probe`` for one form after the other, and by itself once a process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

import bifurk
from bifurk.testing import InMemoryTransport
from bifurk.wire import TensorPart

RANKS: Final = 2
STEPS: Final = 3
DEADLINE_SECONDS: Final = 120
FULLY_SHARD_ON_CPU: Final = (2, 8)
"""Older ones (2.4 and 2.6 were looked at) ask for a CUDA stream in the first forward pass."""


class NotOnCpuError(Exception):
    """This torch needs GPUs for that."""


def tried(form: str) -> None:
    """Trains in one form, bare and watched.

    Raises:
        NotOnCpuError: torch cannot do it here. AssertionError: anything differs.
    """
    version = tuple(int(number) for number in torch.__version__.split(".")[:2])
    if form == "fully_shard" and version < FULLY_SHARD_ON_CPU:
        raise NotOnCpuError
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder, f"{rank}.log") for rank in range(RANKS)]
        processes = [_start(form, folder, rank, logs[rank]) for rank in range(RANKS)]
        try:
            codes = [process.wait(timeout=DEADLINE_SECONDS) for process in processes]
        finally:
            for process in processes:
                process.kill()
        if any(codes):
            raise AssertionError(logs[0].read_text().strip().splitlines()[-1])
        ranks = [torch.load(Path(folder, f"{rank}.pt"), weights_only=False) for rank in range(2)]
    for rank in ranks:
        for before, after in zip(rank["bare"], rank["watched"], strict=True):
            assert torch.equal(before, after), "trains otherwise when watched"
    for name, whole in ranks[0]["whole"].items():
        pieces = [rank["parts"][name] for rank in ranks if name in rank["parts"]]
        assert np.array_equal(_put_together(pieces), whole.numpy()), f"{name}: other values"


def _start(form: str, folder: str, rank: int, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, form, folder, str(rank)]
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)


def _put_together(pieces: list[TensorPart]) -> np.ndarray[Any, Any]:
    whole = np.full(pieces[0].shape, np.nan, np.float32)
    for piece in pieces:
        carried = piece.full or piece.values
        assert carried is not None, f"{piece.name}: no values"
        if piece.placement is None:
            whole[...] = carried.data.reshape(piece.shape)
            continue
        offset, held = piece.placement.offset, piece.placement.local_shape
        place = tuple(slice(o, o + n) for o, n in zip(offset, held, strict=True))
        into = whole.reshape(-1) if len(offset) != whole.ndim else whole
        into[place] = carried.data.reshape(held)
    return whole


def _distribute(form: str, net: nn.Sequential) -> nn.Module:
    if form == "fsdp":
        from torch.distributed.fsdp import FullyShardedDataParallel

        cpu = torch.device("cpu")
        return FullyShardedDataParallel(net, use_orig_params=True, device_id=cpu)
    mesh = init_device_mesh("cpu", (RANKS,))
    if form == "tensor_parallel":
        from torch.distributed.tensor.parallel import (
            ColwiseParallel,
            RowwiseParallel,
            parallelize_module,
        )

        return parallelize_module(net, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    from torch.distributed.fsdp import fully_shard

    model: nn.Module = fully_shard(net, mesh=mesh)
    return model


def _train(form: str, transport: InMemoryTransport | None) -> tuple[nn.Module, list[torch.Tensor]]:
    """The model, and every loss, local weight and the random state."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(33, 46), nn.Tanh(), nn.Linear(46, 6))
    model = _distribute(form, net)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    torch.manual_seed(1)
    monitor = None
    if transport is not None:
        monitor = bifurk.watch(model, optimizer, run=form, payload="full", transport=transport)
    left = []
    for _ in range(STEPS):
        loss = model(torch.randn(4, 33)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        left.append(loss.detach())
    left += [getattr(one, "_local_tensor", one).detach() for one in model.parameters()]
    left.append(torch.get_rng_state())
    if monitor is not None:
        monitor.close()
    return model, left


def _whole(form: str, model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    gathered: Any = nullcontext()
    if form == "fsdp":
        from torch.distributed.fsdp import FullyShardedDataParallel

        gathered = FullyShardedDataParallel.summon_full_params(model, writeback=False)
    with gathered:
        for name, parameter in model.named_parameters():
            one: Any = parameter
            one = one.full_tensor() if hasattr(one, "full_tensor") else one
            yield name.replace("_fsdp_wrapped_module.", ""), one.detach().clone()


def main() -> None:
    """One process of one form."""
    form, folder, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.environ.update(BIFURK_OVERHEAD_BUDGET="none", BIFURK_EVERY=str(STEPS))
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS)
    transport = InMemoryTransport()
    _, bare = _train(form, None)
    model, watched = _train(form, transport)
    last = transport.parts()[-1]
    assert last.manifest.step == STEPS, f"the last snapshot is of step {last.manifest.step}"
    found = {"bare": bare, "watched": watched, "whole": dict(_whole(form, model))}
    found["parts"] = {tensor.name: tensor for tensor in last.tensors}
    torch.save(found, Path(folder, f"{rank}.pt"))


if __name__ == "__main__":
    main()
