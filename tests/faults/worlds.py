"""Worlds that a server of the tests can live in; see ``tests.command.WORLD``."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.005


def moved_clock(file: str) -> None:
    """The wall clock is off by the seconds that stand in a file; the monotonic one is right."""
    told = time.time

    def moved() -> float:
        return told() + float(Path(file).read_text())

    time.time = moved


def held_disk(file: str) -> None:
    """No sync of a file or a folder ends while this file is there; each then writes a dot to it."""
    sync, held = os.fsync, Path(file)

    def hold(descriptor: int) -> None:
        with suppress(FileNotFoundError):
            told = os.open(held, os.O_WRONLY | os.O_APPEND)
            os.write(told, b".")
            os.close(told)
        while held.exists():
            time.sleep(POLL_SECONDS)
        sync(descriptor)

    os.fsync = hold
