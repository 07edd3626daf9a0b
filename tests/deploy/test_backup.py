"""The documented backup, taken while the server runs: what is restored goes on."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.parts import make_part, put_part
from tests.server import Server


def send(server: Server, sequence: int) -> None:
    status, answer = put_part(server, make_part(sequence))
    assert status == 201, answer


def series(server: Server) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.get("/api/v1/runs/1/series?stat=update_ratio")["items"]
    return items


def test_a_copy_taken_while_running_can_be_taken_up(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server()
    for sequence in range(2):
        send(server, sequence)
    server.wait_until_judged(1, 2)

    restored = tmp_path / "restored"
    restored.mkdir()
    with (
        closing(sqlite3.connect(server.data_dir / "bifurk.db")) as live,
        closing(sqlite3.connect(restored / "bifurk.db")) as copy,
    ):
        live.backup(copy)
    send(server, 2)
    whole_run = server.wait_until_judged(1, 3)
    shutil.copytree(server.data_dir / "blobs", restored / "blobs")
    whole = series(server)
    server.stop()

    again = start_server(restored)
    assert again.get("/api/v1/runs/1")["snapshots"]["judged"] == 2
    for before, after in zip(whole, series(again), strict=True):
        assert after["values"] == before["values"][:2]
    send(again, 2)
    assert again.wait_until_judged(1, 3)["snapshots"] == whole_run["snapshots"]
    assert series(again) == whole
