"""Two processes, then four, that train every form of their number, bare and watched."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

import bifurk.watching
from tests.distributed.forked import train_as_ranks
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


def train_every_form(folder: Path, ranks: int, rank: int) -> None:
    mesh = mesh_of(ranks)
    left: dict[str, Any] = {}
    for form, make in FORMS[ranks].items():
        counts = [collectives()]
        for kind, run in (("bare", None), ("watched", form)):
            left.setdefault(form, {})[kind] = train(make, mesh, run=run, folder=folder)
            counts.append(collectives())
        left[form]["collectives"] = (counts[1] - counts[0], counts[2] - counts[1])
    torch.save(left, folder / f"{ranks}-{rank}.pt")


def main() -> int:
    folder = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    return int(any(any(train_as_ranks(train_every_form, folder, ranks)) for ranks in FORMS))


if __name__ == "__main__":
    sys.exit(main())
