"""Two real processes that train one model in several forms, once for all tests of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.distributed.compared import run_id, watch_whole
from tests.distributed.training import AXES, EVERY, RANKS, STEPS, Net
from tests.ports import own_port
from tests.server import Server

DEADLINE_SECONDS = 170.0
"""It takes twenty where nothing else runs."""
PATIENCE_SECONDS = 300
"""Of the server for parts while the processes train: one of them may be held up."""
PART_TIMEOUT_SECONDS = 5
"""Once they have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What the processes left: on the server, and on each rank (form, ``bare`` or ``watched``)."""

    server: Server
    ranks: list[dict[str, Any]]
    exit_codes: list[int]

    def run_id(self, name: str) -> int:
        return run_id(self, name)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("sharded")
    # At one address: what a process could not deliver in time is sent by the next.
    port = str(own_port())
    with _serving(folder, port, part_timeout_seconds=PATIENCE_SECONDS) as patient:
        codes = _train(folder, patient.url)
    ranks = [torch.load(folder / f"rank{rank}.pt") for rank in range(RANKS)]
    with _serving(folder, port, part_timeout_seconds=PART_TIMEOUT_SECONDS) as server:
        for form in AXES:
            watch_whole(
                Net(),
                [whole_weights(form, ranks, step) for step in range(STEPS + 1)],
                run=f"{form}-whole", every=EVERY, url=server.url, folder=folder,
            )  # fmt: skip
        yield Trained(server=server, ranks=ranks, exit_codes=codes)


@contextmanager
def _serving(folder: Path, port: str, *, part_timeout_seconds: int) -> Iterator[Server]:
    timeout = {"BIFURK_PART_TIMEOUT_SECONDS": str(part_timeout_seconds)}
    server = Server(folder / "data", {"BIFURK_PORT": port, **timeout})
    try:
        yield server
    finally:
        server.stop()


def _train(folder: Path, url: str) -> list[int]:
    """The processes' exit codes."""
    environment = {**os.environ, "BIFURK_URL": url, "PYTHONPATH": os.getcwd()}
    processes = [_start(folder, rank, environment) for rank in range(RANKS)]
    try:
        codes = [process.wait(timeout=DEADLINE_SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    logs = "\n".join((folder / f"rank{rank}.log").read_text() for rank in range(RANKS))
    assert all((folder / f"rank{rank}.pt").exists() for rank in range(RANKS)), logs
    return codes


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
