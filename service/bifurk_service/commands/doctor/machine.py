"""The machine itself: folder, disk, clock, port, limits."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bifurk_service.commands.doctor.finding import Finding, fine, problem, warning
from bifurk_service.commands.doctor.probing import bifurk_version
from bifurk_service.settings import Settings
from bifurk_service.store.network_folders import network_filesystem

if sys.platform != "win32":
    import resource

LEAST_FREE_BYTES: Final = 1 << 30
"""A day of a large model's snapshots; a full disk stops taking them in."""
LEAST_DESCRIPTORS: Final = 256
"""Connections of requests, of the stream, to the database, files of parts."""
GOOD_DESCRIPTORS: Final = 1024
CLOCK_SECONDS: Final = 5.0
"""More than file systems round, less than anything that would confuse a chart."""
RELEASED: Final = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def folder(data_dir: Path) -> Finding:
    """Whether the data folder can be written, or made."""
    place = existing(data_dir)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return problem(
            "data folder",
            f"{place} cannot be written ({error.strerror})",
            "give it to this user, or set BIFURK_DATA_DIR",
        )
    note = "is writable" if data_dir.exists() else "can be made"
    return fine("data folder", f"{data_dir.absolute()} {note}")


def filesystem(settings: Settings) -> Finding:
    """SQLite must not be on a network's."""
    kind = network_filesystem(existing(settings.data_dir))
    if kind is None:
        return fine("filesystem", "local")
    if not settings.resolved_database_url.startswith("sqlite"):
        return fine("filesystem", f"{kind}, which is good enough for blobs")
    return problem(
        "filesystem",
        f"{kind} is a network filesystem, where SQLite loses data",
        "set BIFURK_DATA_DIR to a local folder, or BIFURK_DATABASE_URL to PostgreSQL",
    )


def port(settings: Settings) -> Finding:
    """Free, or a bifurk's already."""
    at = f"{settings.url_host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if bifurk_version(f"http://{at}") is not None:
                return fine("port", f"a bifurk server runs on {at}")
            return problem(
                "port",
                f"{at} cannot be had ({error.strerror})",
                "set BIFURK_HOST or BIFURK_PORT to another, or end what listens there",
            )
    return fine("port", f"{at} is free")


def clock(data_dir: Path) -> Finding:
    """Plausible, and the data folder's agrees."""
    now = time.time()
    if now < RELEASED:
        return problem("clock", f"says {_date(now)}, before this version was made", "set it")
    try:
        with tempfile.NamedTemporaryFile(dir=existing(data_dir)) as file:
            written = Path(file.name).stat().st_mtime
    except OSError:
        return fine("clock", f"{_date(now)}; not compared with the data folder's")
    # A disk that takes its time has no other clock.
    apart = max(now - written, written - time.time())
    if apart > CLOCK_SECONDS:
        return problem(
            "clock", f"{apart:.0f} s apart from the data folder's", "set both by the network (NTP)"
        )
    return fine("clock", f"{_date(now)}, and the data folder's agrees")


def disk(data_dir: Path) -> Finding:
    """Room for a while."""
    free = shutil.disk_usage(existing(data_dir)).free
    found = f"{free / (1 << 30):.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return problem(
            "disk", found, "make room, `bifurk runs rm` deletes runs, or set BIFURK_DATA_DIR"
        )
    return fine("disk", found)


def descriptors() -> Finding:
    """How many files and connections a process may have open."""
    if sys.platform == "win32":
        return fine("open files", "no limit is known here")
    most, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most >= GOOD_DESCRIPTORS:
        return fine("open files", "no limit" if most == resource.RLIM_INFINITY else f"{most}")
    advice = f"raise it: `ulimit -n {GOOD_DESCRIPTORS * 4}`, or LimitNOFILE= of systemd"
    found = f"a process may have {most} files and connections open"
    make = problem if most < LEAST_DESCRIPTORS else warning
    return make("open files", found, advice)


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    resolved = path.absolute()
    return next(place for place in (resolved, *resolved.parents) if place.exists())


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
