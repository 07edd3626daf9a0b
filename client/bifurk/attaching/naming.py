"""What a process of a command calls its run, so that several at once do not write into one."""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

from bifurk.folder_lock import FolderInUseError, FolderLock
from bifurk.wire.slug import MAX_SLUG_CHARACTERS

LAUNCH: Final = "BIFURK_LAUNCH"
"""Variable that tells one launch from another; set by ``launch``."""
RANKS: Final = ("TORCHELASTIC_RUN_ID", "RANK", "SLURM_PROCID")
"""Variables of processes that train together: of those, one posts."""
MOST_AT_ONCE: Final = 1000

_claims: dict[int, tuple[int, FolderLock]] = {}
"""By process: its number among those of the command, and what holds it until the process ends."""


def own_name(run: str) -> str:
    """The run's name; with a number where another process of the same command has it now.

    A process that begins when the one before has ended has the name again: a further attempt.
    """
    if LAUNCH not in os.environ or any(name in os.environ for name in RANKS):
        return run
    number = _number()
    ending = "" if number == 1 else f"-{number}"
    return f"{run[: MAX_SLUG_CHARACTERS - len(ending)]}{ending}"


def _number() -> int:
    process = os.getpid()
    if process not in _claims:
        with contextlib.suppress(OSError):  # no folder for locks: as if it were alone
            _claims[process] = _claim()
    return _claims[process][0] if process in _claims else 1


def _give_back(path: Path, process: int) -> None:
    if os.getpid() == process:
        path.unlink(missing_ok=True)


def _claim() -> tuple[int, FolderLock]:
    folder = Path(tempfile.gettempdir(), f"bifurk-run-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(1, MOST_AT_ONCE):
        path = folder / f"{os.environ[LAUNCH]}-{number}"
        with contextlib.suppress(FolderInUseError):
            lock = FolderLock(path)
            atexit.register(_give_back, path, os.getpid())
            return number, lock
    raise OSError(f"{MOST_AT_ONCE} processes of one command at once")
