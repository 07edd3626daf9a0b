"""What the hook costs a training on a CUDA device, beside the peers, all in one run.

A GPT of 162 million parameters trains on random tokens in bfloat16 autocast. In every round each
contender takes one snapshot of the same weights, in turn: a bare asynchronous copy of all weights
into pinned bfloat16 buffers, bifurk's hook, ``wandb.watch(log="parameters")`` with its logging
stubbed, and TensorBoard's ``add_histogram``.

Stall is wall time of the training thread, the device being idle before; *with the device* is the
time until that is idle again. Then the training itself, with a snapshot every 50 steps and without
one, in alternating stretches.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch
from claims import Claim, options, report
from models import gpt_162m, parameter_count
from peers import Peer, add_histogram, wandb_watch

import bifurk
from bifurk.testing import InMemoryTransport

BATCH, CONTEXT = 8, 1024
EVERY = 50
ROUNDS = 5
WARM_STEPS = 5


def main() -> int:
    """Measures and reports; 0 when every target is met, or there is no device to measure."""
    asked = options(__doc__ or "")
    if not torch.cuda.is_available():
        print("nothing is measured: this benchmark needs a CUDA device, and torch sees none")
        return 0
    logging.getLogger("bifurk").setLevel(logging.ERROR)
    torch.manual_seed(0)
    model = gpt_162m().cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    train(model, optimizer, WARM_STEPS)
    rounds = asked.rounds or ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        looks, memory = measured_looks(model, Path(folder), rounds)
        with_hook, without = measured_training(model, optimizer, Path(folder) / "train", rounds)
    return report(claims(model, looks, memory, with_hook, without), as_json=asked.json)


Looks = dict[str, list[tuple[float, float]]]
"""By contender: seconds of the training thread, and until the device is idle, of every look."""


def measured_looks(model: torch.nn.Module, folder: Path, rounds: int) -> tuple[Looks, int]:
    """Everybody's looks, in turn, and the bytes that bifurk keeps on the device."""
    buffers = [
        torch.empty(p.shape, dtype=torch.bfloat16, pin_memory=True) for p in model.parameters()
    ]

    @torch.no_grad()
    def copy() -> None:
        for buffer, parameter in zip(buffers, model.parameters(), strict=True):
            buffer.copy_(parameter.bfloat16(), non_blocking=True)

    before = torch.cuda.memory_allocated()
    ours = bifurk_peer(model, folder / "ours")
    ours.look()
    ours.settle()
    memory = torch.cuda.memory_allocated() - before
    contenders = {
        "copy": Peer(copy),
        "bifurk": ours,
        "wandb.watch": wandb_watch(model),
        "add_histogram": add_histogram(model, folder / "events"),
    }
    looks: Looks = {name: [] for name in contenders}
    for turn in range(rounds + 2):
        for name, contender in contenders.items():
            seconds = timed(contender.look)
            contender.settle()
            if turn >= 2:
                looks[name].append(seconds)
    for contender in contenders.values():
        contender.close()
    return looks, memory


def measured_training(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, folder: Path, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds a step, with a snapshot every 50 steps and without, of stretches in turn."""
    with_hook, without = [], []
    for turn in range(rounds):
        without.append(train(model, optimizer, EVERY))
        with watching(model, optimizer, folder / str(turn), every=EVERY) as monitor:
            train(model, optimizer, 1)
            monitor.flush(60)
            with_hook.append(train(model, optimizer, EVERY))
    return with_hook, without


def timed(look: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the calling thread, and until the device is idle again."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    look()
    returned = time.perf_counter() - started
    torch.cuda.synchronize()
    return returned, time.perf_counter() - started


def bifurk_peer(model: torch.nn.Module, folder: Path) -> Peer:
    """The hook of an optimizer of its own over the same weights, called as a step would call it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    monitor = watching(model, optimizer, folder, every=1)
    hooks = list(optimizer._optimizer_step_post_hooks.values())  # noqa: SLF001 - called as step() does

    def look() -> None:
        for hook in hooks:
            hook(optimizer, (), {})

    return Peer(look, settle=lambda: monitor.flush(60), close=monitor.close)


def watching(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, folder: Path, *, every: int
) -> bifurk.Monitor:
    """A monitor that posts into memory."""
    return bifurk.watch(
        model,
        optimizer,
        project="benchmarks",
        run=f"gpu-{next(_runs)}",
        every=every,
        payload="sketch",
        overhead_budget=None,
        transport=InMemoryTransport(),
        spool_dir=folder,
    )


_runs = count()


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> float:
    """Real steps; seconds a step."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        tokens = torch.randint(0, 50_257, (BATCH, CONTEXT + 1), device="cuda")
        with torch.autocast("cuda", dtype=torch.bfloat16):
            logits = model(tokens[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / steps


def claims(
    model: torch.nn.Module,
    looks: Looks,
    memory: int,
    with_hook: list[float],
    without: list[float],
) -> list[Claim]:
    """Medians, and ratios of rounds taken in turn."""
    stall = {name: statistics.median(s for s, _ in found) for name, found in looks.items()}
    whole = {name: statistics.median(s for _, s in found) for name, found in looks.items()}
    slower = statistics.median(a / b for a, b in zip(with_hook, without, strict=True))

    def ratio(name: str) -> Claim:
        pairs = zip(looks[name], looks["bifurk"], strict=True)
        return Claim(
            claim=f"stall of {name} / bifurk",
            value=statistics.median(theirs / ours for (theirs, _), (ours, _) in pairs),
            unit="x",
            target=10,
            better="higher",
        )

    return [
        Claim(claim="parameters", value=parameter_count(model) / 1e6, unit="million"),
        Claim(claim="training step", value=statistics.median(without) * 1e3, unit="ms"),
        *(Claim(claim=f"stall: {name}", value=s * 1e3, unit="ms") for name, s in stall.items()),
        *(
            Claim(claim=f"with the device: {name}", value=s * 1e3, unit="ms")
            for name, s in whole.items()
        ),
        Claim(claim="bifurk's memory on the device", value=memory / 2**20, unit="MiB"),
        Claim(
            claim=f"step with a snapshot every {EVERY} / without",
            value=slower,
            unit="x",
            target=1.02,
        ),
        ratio("wandb.watch"),
        ratio("add_histogram"),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
