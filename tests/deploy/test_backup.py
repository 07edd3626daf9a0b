"""The documented backups: what is restored goes on, and so does its client."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bifurk
from bifurk.monitor import Monitor
from tests.deploy.postgres import DEBIAN, Postgres
from tests.parts import make_part, put_part
from tests.ports import own_port
from tests.server import Server, wait_for

BEFORE, GONE, AFTER = range(4), range(4, 6), range(6, 9)
"""Sequences in the copied database, acknowledged after it was taken, and after the restore."""
FROM_THE_SAMPLE = 0.05
"""Relative: full values that were deleted between the two copies leave a sample to measure by."""


def send(server: Server, sequence: int) -> None:
    status, answer = put_part(server, make_part(sequence))
    assert status == 201, answer


def series(server: Server) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.get("/api/v1/runs/1/series?stat=update_ratio")["items"]
    return items


def copy_sqlite(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)


def test_a_copy_taken_while_running_can_be_taken_up(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server()
    for sequence in range(2):
        send(server, sequence)
    server.wait_until_judged(1, 2)

    restored = tmp_path / "restored"
    restored.mkdir()
    copy_sqlite(server.data_dir / "bifurk.db", restored / "bifurk.db")
    send(server, 2)
    whole_run = server.wait_until_judged(1, 3)
    copy_blobs(server.data_dir, restored)
    whole = series(server)
    server.stop()

    again = start_server(restored)
    assert again.get("/api/v1/runs/1")["snapshots"]["judged"] == 2
    for before, after in zip(whole, series(again), strict=True):
        assert after["values"] == before["values"][:2]
    send(again, 2)
    restored_run = again.wait_until_judged(1, 3)
    assert restored_run["snapshots"] == whole_run["snapshots"]
    for before, after in zip(whole, series(again), strict=True):
        assert (after["steps"], after["values"][:2]) == (before["steps"], before["values"][:2])
        assert after["values"][2] == pytest.approx(before["values"][2], rel=FROM_THE_SAMPLE)


def copy_blobs(data_dir: Path, restored: Path) -> None:
    """As `rsync` does, without what is deleted meanwhile."""

    def copied(source: str, target: str) -> None:
        with suppress(FileNotFoundError):
            shutil.copy2(source, target)

    shutil.copytree(data_dir / "blobs", restored / "blobs", copy_function=copied)


class Training:
    """Watched at every step by a client that outlives its server."""

    def __init__(self, url: str, spool: Path) -> None:
        self.model = nn.Linear(8, 4)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.monitor: Monitor = bifurk.watch(
            self.model,
            self.optimizer,
            url=url,
            project="tests",
            run="run",
            every=1,
            overhead_budget=None,
            spool_dir=spool,
        )

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.optimizer.zero_grad()
            self.model(torch.ones(2, 8)).square().sum().backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        assert self.monitor.flush(60.0)


def check_it_goes_on(
    start_server: Callable[..., Server],
    tmp_path: Path,
    environment: dict[str, str],
    copy_database: Callable[[Server, Path], dict[str, str]],
) -> None:
    """A training whose server comes back without what it had acknowledged last."""
    port = str(own_port())
    server = start_server(tmp_path / "data", BIFURK_PORT=port, **environment)
    training = Training(server.url, tmp_path / "spool")
    training.steps(len(BEFORE) - 1)  # the weights before the first step are a snapshot as well
    server.wait_until_judged(1, len(BEFORE))
    restored = tmp_path / "restored"
    restored.mkdir()
    changed = copy_database(server, restored)
    training.steps(len(GONE))
    server.wait_until_judged(1, len(BEFORE) + len(GONE))
    copy_blobs(server.data_dir, restored)
    server.stop()

    patience = {"BIFURK_PART_TIMEOUT_SECONDS": "0.5"}
    again = start_server(restored, BIFURK_PORT=port, **{**environment, **changed, **patience})
    assert again.get("/api/v1/runs/1")["snapshots"]["total"] == len(BEFORE)
    training.steps(len(AFTER))
    training.monitor.close()
    again.wait_until_judged(1, len(BEFORE) + len(AFTER))
    found = again.get("/api/v1/runs/1/snapshots")["items"]
    assert [one["sequence"] for one in found] == [*BEFORE, *AFTER]
    for one in series(again):
        assert None not in one["values"][1:], "motion is measured over the gap"
    wait_for(lambda: again.get("/api/v1/runs/1")["state"] == "finished", "the end")


def test_a_client_goes_on_after_a_restore_of_sqlite(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    def copy_database(server: Server, restored: Path) -> dict[str, str]:
        copy_sqlite(server.data_dir / "bifurk.db", restored / "bifurk.db")
        return {}

    check_it_goes_on(start_server, tmp_path, {}, copy_database)


def test_a_client_goes_on_after_a_restore_of_postgres(
    start_server: Callable[..., Server], cluster: Postgres, tmp_path: Path
) -> None:
    def copy_database(_server: Server, restored: Path) -> dict[str, str]:
        dump = restored / "bifurk.dump"
        postgres_program("pg_dump", "--format=custom", f"--file={dump}", cluster.address("live"))
        url = cluster.database("restored")
        address = cluster.address("restored")
        postgres_program("pg_restore", "--no-owner", f"--dbname={address}", str(dump))
        return {"BIFURK_DATABASE_URL": url}

    environment = {"BIFURK_DATABASE_URL": cluster.bifurk("live")}
    check_it_goes_on(start_server, tmp_path, environment, copy_database)


def postgres_program(name: str, *arguments: str) -> None:
    found = shutil.which(name) or str(max(DEBIAN.glob(f"*/bin/{name}")))
    subprocess.run([found, *arguments], check=True, capture_output=True)
