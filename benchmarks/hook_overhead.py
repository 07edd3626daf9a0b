"""What the hook costs a training loop, beside the peers, all in one run and one thread each.

A 10-million-parameter GPT trains on random tokens. In every round each contender takes one
snapshot of the same weights, in turn:

- a bare ``copy_`` of all weights into bfloat16 buffers that were allocated beforehand: the least
  that anything which reads every weight could cost the training thread;
- bifurk's hook without full values, and with them;
- ``wandb.watch(log="parameters")``: its own forward hook, the logging behind it stubbed;
- TensorBoard: ``add_histogram`` of every parameter, to a real event file.

Stall is wall time of the training thread. Background is the process's CPU time less the training
thread's, until the snapshot is in a spool on disk. Overhead is (stall + background) / (50 steps).
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from claims import Claim, options, report
from models import gpt_10m, parameter_count
from peers import Peer, add_histogram, wandb_watch

import bifurk
from bifurk.testing import InMemoryTransport

BATCH, CONTEXT = 8, 128
STEPS_BETWEEN_SNAPSHOTS = 50
ROUNDS = 15


def main() -> int:
    """Measures and reports; 0 when every target is met."""
    asked = options(__doc__ or "")
    rounds = asked.rounds or ROUNDS
    torch.set_num_threads(1)
    logging.getLogger("bifurk").setLevel(logging.ERROR)
    torch.manual_seed(0)
    model = gpt_10m()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    step_seconds = statistics.median(train_step(model, optimizer) for _ in range(5))
    with tempfile.TemporaryDirectory() as folder:
        contenders = make_contenders(model, Path(folder))
        memory = {name: contender.extra_bytes for name, contender in contenders.items()}
        for _ in range(rounds):
            train_step(model, optimizer)
            for contender in contenders.values():
                contender.snapshot()
        for contender in contenders.values():
            contender.close()
    return report(claims(model, contenders, step_seconds, memory), as_json=asked.json)


class Contender:
    """Something that looks at all weights when told to, and how long that took."""

    def __init__(
        self,
        look: Callable[[], object],
        *,
        settle: Callable[[], object] = lambda: None,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self._look, self._settle, self.close = look, settle, close
        self.stalls: list[float] = []
        self.backgrounds: list[float] = []
        process = psutil.Process()
        before = process.memory_info().rss
        self.peak = PeakMemory()
        self.snapshot()
        self.extra_bytes = self.peak.stop() - before
        self.stalls.clear()
        self.backgrounds.clear()

    def snapshot(self) -> None:
        """One look, then whatever it left to do in the background."""
        cpu, own, wall = time.process_time(), time.thread_time(), time.perf_counter()
        self._look()
        self.stalls.append(time.perf_counter() - wall)
        self._settle()
        self.backgrounds.append((time.process_time() - cpu) - (time.thread_time() - own))


class PeakMemory:
    """The largest resident size of this process while it runs, sampled every millisecond."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._peak = self._process.memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._done.wait(0.001):
            self._peak = max(self._peak, self._process.memory_info().rss)

    def stop(self) -> int:
        """Ends the sampling; bytes."""
        self._done.set()
        self._thread.join()
        return self._peak


def make_contenders(model: torch.nn.Module, folder: Path) -> dict[str, Contender]:
    """Every contender, ready, its first look (allocation) behind it."""
    buffers = [torch.empty_like(p, dtype=torch.bfloat16) for p in model.parameters()]

    @torch.no_grad()
    def copy() -> None:
        for buffer, parameter in zip(buffers, model.parameters(), strict=True):
            buffer.copy_(parameter)

    return {
        "copy": Contender(copy),
        "bifurk": bifurk_contender(model, folder / "sketch", payload="sketch"),
        "bifurk with full values": bifurk_contender(model, folder / "auto", payload="auto"),
        "wandb.watch": peer_contender(wandb_watch(model)),
        "add_histogram": peer_contender(add_histogram(model, folder / "events")),
    }


def bifurk_contender(model: torch.nn.Module, folder: Path, *, payload: str) -> Contender:
    """The hook of an optimizer of its own over the same weights, called as a step would call it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    monitor = bifurk.watch(
        model,
        optimizer,
        project="benchmarks",
        run=f"overhead-{payload}",
        every=1,
        payload=payload,
        overhead_budget=None,
        transport=InMemoryTransport(),
        spool_dir=folder,
    )
    hooks = list(optimizer._optimizer_step_post_hooks.values())  # noqa: SLF001 - called as step() does

    def look() -> None:
        for hook in hooks:
            hook(optimizer, (), {})

    return Contender(look, settle=lambda: monitor.flush(60), close=monitor.close)


def peer_contender(peer: Peer) -> Contender:
    """A peer, timed."""
    return Contender(peer.look, settle=peer.settle, close=peer.close)


def train_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """One real step; its seconds."""
    started = time.perf_counter()
    tokens = torch.randint(0, 256, (BATCH, CONTEXT + 1))
    logits = model(tokens[:, :-1])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return time.perf_counter() - started


def claims(
    model: torch.nn.Module,
    contenders: dict[str, Contender],
    step_seconds: float,
    memory: dict[str, int],
) -> list[Claim]:
    """Medians, and ratios of rounds taken in turn."""
    stall = {name: statistics.median(c.stalls) for name, c in contenders.items()}
    behind = {name: statistics.median(c.backgrounds) for name, c in contenders.items()}

    def ratio(name: str, other: str) -> float:
        pairs = zip(contenders[name].stalls, contenders[other].stalls, strict=True)
        return statistics.median(a / b for a, b in pairs)

    cost = (stall["bifurk"] + behind["bifurk"]) / (STEPS_BETWEEN_SNAPSHOTS * step_seconds)
    cost_full = (stall["bifurk with full values"] + behind["bifurk with full values"]) / (
        STEPS_BETWEEN_SNAPSHOTS * step_seconds
    )
    return [
        Claim(claim="parameters", value=parameter_count(model) / 1e6, unit="million"),
        Claim(claim="training step", value=step_seconds * 1e3, unit="ms"),
        *(Claim(claim=f"stall: {name}", value=s * 1e3, unit="ms") for name, s in stall.items()),
        *(
            Claim(claim=f"background CPU: {name}", value=s * 1e3, unit="ms")
            for name, s in behind.items()
        ),
        *(
            Claim(claim=f"peak extra memory, first look: {name}", value=size / 2**20, unit="MiB")
            for name, size in memory.items()
        ),
        Claim(
            claim="stall of bifurk / bare copy_",
            value=ratio("bifurk", "copy"),
            unit="x",
            target=2.5,
        ),
        Claim(claim="overhead at a snapshot every 50 steps", value=cost, unit="ratio", target=0.02),
        Claim(claim="the same with full values (16 MiB a snapshot)", value=cost_full, unit="ratio"),
        Claim(
            claim="stall of wandb.watch / bifurk",
            value=ratio("wandb.watch", "bifurk"),
            unit="x",
            target=10,
            better="higher",
        ),
        Claim(
            claim="stall of add_histogram / bifurk",
            value=ratio("add_histogram", "bifurk"),
            unit="x",
            target=10,
            better="higher",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
