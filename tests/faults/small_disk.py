"""A filesystem of its own that is soon full."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILLER = "somebody-elses"


@contextmanager
def mounted(disk: Path, *, kibibytes: int) -> Iterator[Path]:
    """A disk of this size for as long as the context is open; skips where nobody may mount."""
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(disk)]
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk; the limit on file sizes is tested anyway")
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount; the limit on file sizes is tested anyway")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def make_read_only(disk: Path) -> None:
    """As a filesystem becomes after an error, where nothing is open."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Takes all the room there is."""
    with (disk / FILLER).open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def empty(disk: Path) -> None:
    """Gives it back."""
    (disk / FILLER).unlink()
