"""What a machine that trains has: torch, thread pools, a spool with room and nothing left over."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bifurk.config import WatchConfig
from bifurk.configure import resolve
from bifurk.folder_lock import FolderInUseError, FolderLock
from bifurk.spool_folder import LOCK_NAME, recorded_target, records
from bifurk_service.commands.doctor.finding import Finding, fine, problem, warning

LEAST_TORCH: Final = (2, 4)
NEARLY_FULL: Final = 0.9
IMPORT_SECONDS: Final = 60.0
LOADED: Final = """
import importlib.util, re
for name in ("torch", "numpy", "scipy", "sklearn"):
    if importlib.util.find_spec(name):
        __import__(name)
maps = open("/proc/self/maps").read()
print("\\n".join(sorted(set(re.findall(r"/\\S*lib(?:gomp|iomp5|omp)\\S*\\.so\\S*", maps)))))
"""
"""Run in a process of its own: what these packages bring is loaded by importing them."""


def torch_version() -> Finding:
    """Whether torch is there, and new enough for the hook."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return problem("torch", "is not installed", "install it in the training's environment")
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < LEAST_TORCH:
        least = ".".join(map(str, LEAST_TORCH))
        return problem("torch", f"{version} is too old", f"install {least} or newer")
    return fine("torch", version)


def thread_pools() -> Finding:
    """Several OpenMP libraries in a process spin against each other on few cores."""
    if not sys.platform.startswith("linux"):
        return fine("threads", "not looked at on this system")
    try:
        said = subprocess.run(  # noqa: S603 - this interpreter, and a text of our own
            [sys.executable, "-c", LOADED],
            capture_output=True, text=True, timeout=IMPORT_SECONDS, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return fine("threads", f"not looked at: {type(error).__name__}")
    return judged_pools(said.split())


def judged_pools(libraries: list[str]) -> Finding:
    """What the OpenMP libraries of one process mean for it."""
    if len(libraries) < 2:
        return fine("threads", f"{len(libraries)} OpenMP library in a training's process")
    names = ", ".join(Path(library).name for library in libraries)
    return warning(
        "threads",
        f"{len(libraries)} OpenMP libraries in one process ({names}): on few cores their threads "
        "spin against each other",
        "set OMP_WAIT_POLICY=PASSIVE, and OMP_NUM_THREADS to what the training may use",
    )


def spool(environment: Mapping[str, str]) -> Iterator[Finding]:
    """How full the spool is, and what of runs that have ended waits in it."""
    try:
        config = resolve({}, environ=environment)
    except (TypeError, ValueError) as error:
        yield problem("settings", str(error), "mend the variable: `watch` raises the same")
        return
    parent = config.spool_dir
    if not parent.is_dir():
        yield fine("spool", f"{parent} is made when it is needed")
        return
    try:
        yield from _spools(parent, config)
    except OSError as error:
        yield problem("spool", f"{parent} cannot be read: {error.strerror}", "give it to this user")


def _spools(parent: Path, config: WatchConfig) -> Iterator[Finding]:
    left, fullest = {}, 0.0
    for folder in sorted(parent.iterdir()):
        if recorded_target(folder) is None:
            continue
        waiting = records(folder)
        size = sum(path.stat().st_size for path in waiting)
        fullest = max(fullest, size / config.spool_bytes)
        if waiting and not _in_use(folder):
            left[folder] = len(waiting)
    if fullest > NEARLY_FULL:
        yield problem(
            "spool",
            f"a folder in {parent} is {fullest:.0%} of BIFURK_SPOOL_BYTES: the oldest go first",
            "see why the server takes nothing, or raise BIFURK_SPOOL_BYTES",
        )
    elif left:
        yield warning(
            "spool",
            f"{sum(left.values())} requests of {len(left)} ended processes wait in {parent}",
            "`python -m bifurk sync` with this folder sends them; so does the next watch to the "
            "same server",
        )
    else:
        yield fine("spool", f"nothing is left over in {parent}")


def _in_use(folder: Path) -> bool:
    try:
        FolderLock(folder / LOCK_NAME, create=False).release()
    except FolderInUseError:
        return True
    except OSError:
        return False
    return False
