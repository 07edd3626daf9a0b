"""Ranks as forks of one process, so that torch is imported once for all of them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

DEADLINE_SECONDS = 100.0
COLLECTIVE_SECONDS = 60
"""How long a collective waits for a rank that is gone."""


def train_as_ranks(work: Callable[[Path, int, int], None], folder: Path, ranks: int) -> list[int]:
    """Runs ``work(folder, ranks, rank)`` in a process for each rank, of one group; exit codes.

    What they write to their outputs is in the folder, ``{ranks}-{rank}.log``.
    """
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_as_rank, args=(work, folder, ranks, r)) for r in range(ranks)]
    for process in processes:
        process.start()
    end = time.monotonic() + DEADLINE_SECONDS
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    for process in processes:
        process.kill()
        process.join()
    return [process.exitcode or 0 for process in processes]


def _as_rank(work: Callable[[Path, int, int], None], folder: Path, ranks: int, rank: int) -> None:
    log = os.open(folder / f"{ranks}-{rank}.log", os.O_CREAT | os.O_WRONLY)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / f'store{ranks}'}",
        rank=rank,
        world_size=ranks,
        timeout=timedelta(seconds=COLLECTIVE_SECONDS),
    )
    work(folder, ranks, rank)
    dist.destroy_process_group()
