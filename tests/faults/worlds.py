"""Worlds that a server of the tests can live in; see ``tests.command.WORLD``."""

from __future__ import annotations

import os
import time
from pathlib import Path


def moved_clock(file: str) -> None:
    """The wall clock is off by the seconds that stand in a file; the monotonic one is right."""
    told = time.time

    def moved() -> float:
        return told() + float(Path(file).read_text())

    time.time = moved


def slow_disk(seconds: str) -> None:
    """Every sync of a file or a folder takes this long."""
    sync = os.fsync

    def slowly(descriptor: int) -> None:
        time.sleep(float(seconds))
        sync(descriptor)

    os.fsync = slowly
