"""Two processes, then four, that train every form of their number, bare and watched."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

import bifurk.watching
from tests.distributed.forms import (
    FORMS,
    Maker,
    collectives,
    mesh_of,
    take_round,
    whole_weights,
)


def train(make: Maker, mesh: DeviceMesh | None, *, run: str | None, folder: Path) -> dict[str, Any]:
    """What a training leaves behind: every step's weights and loss, random state."""
    torch.manual_seed(0)
    trial = make(mesh)
    torch.manual_seed(1 if trial.same_tokens else 1 + dist.get_rank())
    monitor = None
    if run is not None:
        monitor = bifurk.watching.watch(
            trial.model, trial.optimizer, run=run, every=2, payload="full",
            spool_dir=folder / "spool", **trial.settings,
        )  # fmt: skip
    left: dict[str, Any] = {"losses": [], "weights": [whole_weights(trial)]}
    for number in range(trial.rounds):
        left["losses"].append(take_round(trial, number))
        left["weights"].append(whole_weights(trial))
    left["random"] = torch.get_rng_state()
    if monitor is not None:
        monitor.close()
    return left


def one_of(folder: Path, ranks: int, rank: int) -> None:
    """A process among ``ranks``: trains every form of their number."""
    log = os.open(folder / f"{ranks}-{rank}.log", os.O_CREAT | os.O_WRONLY)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / f'store{ranks}'}", rank=rank, world_size=ranks
    )
    mesh = mesh_of(ranks)
    left: dict[str, Any] = {}
    for form, make in FORMS[ranks].items():
        counts = [collectives()]
        for kind, run in (("bare", None), ("watched", form)):
            left.setdefault(form, {})[kind] = train(make, mesh, run=run, folder=folder)
            counts.append(collectives())
        left[form]["collectives"] = (counts[1] - counts[0], counts[2] - counts[1])
    torch.save(left, folder / f"{ranks}-{rank}.pt")
    dist.destroy_process_group()


def main() -> int:
    """Forks all processes, so that torch is imported once."""
    folder = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    fork = multiprocessing.get_context("fork")
    for ranks in FORMS:
        processes = [fork.Process(target=one_of, args=(folder, ranks, r)) for r in range(ranks)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
