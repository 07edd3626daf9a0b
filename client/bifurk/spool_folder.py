"""Folders of requests: their names, whose they are, what lies in them."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bifurk.record import SUFFIX, TEMPORARY_SUFFIX

LOCK_NAME: Final = "lock"
TARGET_NAME: Final = "target"
"""Holds the url that the folder's requests are for. The token is never written."""

NUMBER_DIGITS: Final = 20
"""Enough for nanoseconds since 1970; of fixed length, so that names sort as numbers."""


def new_folder_name() -> str:
    """A name no other process uses, ascending with the time."""
    return f"{time.time_ns():0{NUMBER_DIGITS}d}-{os.getpid()}-{secrets.token_hex(4)}"


def is_own(folder: Path) -> bool:
    """Whether the folder belongs to this user: what others leave is not sent with our token.

    Raises:
        OSError: nothing can be learnt about it.
    """
    return sys.platform == "win32" or folder.stat().st_uid == os.geteuid()


def recorded_target(folder: Path) -> str | None:
    """The url a spool folder's requests are for; None for anything else."""
    try:
        return (folder / TARGET_NAME).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeError):
        return None


def records(folder: Path) -> list[Path]:
    """The files of a folder's requests, oldest first.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(path for path in folder.iterdir() if number_of(path) is not None)


def remove_emptied(folder: Path) -> None:
    """Removes a folder whose requests are all gone; one that holds anything else stays."""
    with contextlib.suppress(OSError):
        if records(folder):
            return
        for path in _litter(folder):
            path.unlink()
        folder.rmdir()


def number_of(path: Path) -> int | None:
    """The number in a file's name; None of what is no request's."""
    stem = path.stem
    is_number = stem.isascii() and stem.isdigit() and len(stem) == NUMBER_DIGITS
    return int(stem) if path.suffix == SUFFIX and is_number else None


def _litter(folder: Path) -> Iterator[Path]:
    """The target first: a folder without one is nobody's to adopt."""
    yield from (path for path in (folder / TARGET_NAME, folder / LOCK_NAME) if path.exists())
    yield from folder.glob(f"*{TEMPORARY_SUFFIX}")
