"""Two real processes that train one model in several forms, once for all tests of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.distributed.compared import run_id, watch_whole
from tests.distributed.training import AXES, EVERY, RANKS, STEPS, Net
from tests.server import Server

DEADLINE_SECONDS = 170.0
"""It takes twenty where nothing else runs."""
PART_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What the processes left: on the server, and on each rank (form, ``bare`` or ``watched``)."""

    server: Server
    ranks: list[dict[str, Any]]
    exit_codes: list[int]
    seconds: float

    def run_id(self, name: str) -> int:
        return run_id(self, name)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("sharded")
    server = Server(folder / "data", {"BIFURK_PART_TIMEOUT_SECONDS": str(PART_TIMEOUT_SECONDS)})
    try:
        yield _train(folder, server)
    finally:
        server.stop()


def _train(folder: Path, server: Server) -> Trained:
    started = time.monotonic()
    environment = {**os.environ, "BIFURK_URL": server.url, "PYTHONPATH": os.getcwd()}
    processes = [_start(folder, rank, environment) for rank in range(RANKS)]
    try:
        codes = [process.wait(timeout=DEADLINE_SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    seconds = time.monotonic() - started
    logs = "\n".join((folder / f"rank{rank}.log").read_text() for rank in range(RANKS))
    files = [folder / f"rank{rank}.pt" for rank in range(RANKS)]
    assert all(file.exists() for file in files), logs
    ranks = [torch.load(file) for file in files]
    for form in AXES:
        watch_whole(
            Net(),
            [whole_weights(form, ranks, step) for step in range(STEPS + 1)],
            run=f"{form}-whole", every=EVERY, url=server.url, folder=folder,
        )  # fmt: skip
    return Trained(server=server, ranks=ranks, exit_codes=codes, seconds=seconds)


def _start(folder: Path, rank: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / f"rank{rank}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.distributed.training", str(folder), str(rank)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def whole_weights(form: str, ranks: list[dict[str, Any]], step: int) -> dict[str, torch.Tensor]:
    """The weights of a watched training after a step, put together along the axis of each cut."""
    held = [rank[form]["watched"]["shards"][step] for rank in ranks]
    return {
        name: torch.cat([one[name] for one in held], dim=AXES[form][name])
        if name in AXES[form]
        else held[0][name]
        for name in held[0]
    }
