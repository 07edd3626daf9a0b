"""``bifurk doctor``: is this machine set up to serve, and if not, what to do."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import typer
import urllib3

from bifurk_service.commands.options import AsJson
from bifurk_service.commands.output import plain, show_json
from bifurk_service.errors import BifurkError
from bifurk_service.notify.addresses import AddressError, Destinations, check_url
from bifurk_service.notify.rules import Policy
from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database, network_filesystem
from bifurk_service.store.tokens import any_token

LEAST_FREE_BYTES: Final = 1 << 30
"""A day of a large model's snapshots; a full disk stops taking them in."""
CLOCK_SECONDS: Final = 5.0
"""More than file systems round, less than anything that would confuse a chart."""
RELEASED: Final = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
PROBE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at: whether it is well, what was found, and what to do if not."""

    check: str
    ok: bool
    found: str


def doctor(*, as_json: AsJson = False) -> None:
    """Check folder, schema, port, clock, disk, tokens, alerts file; exit 1 if one needs care."""
    findings = list(examine(Settings()))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(
                f"{'ok' if finding.ok else 'PROBLEM':<8}{finding.check:<12}{plain(finding.found)}"
            )
    if not all(finding.ok for finding in findings):
        sys.exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check with these settings, none changing anything but a file that is removed."""
    yield _folder(settings.data_dir)
    yield _filesystem(settings)
    yield _schema(settings)
    yield _port(settings)
    yield _clock(settings.data_dir)
    yield _disk(settings.data_dir)
    yield _tokens(settings)
    yield _alerts_file(settings)


def _folder(data_dir: Path) -> Finding:
    place = _existing(data_dir)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return _problem(
            "data folder",
            f"{place} cannot be written ({error.strerror}); "
            "give it to this user, or set BIFURK_DATA_DIR",
        )
    note = "is writable" if data_dir.exists() else "can be made"
    return _fine("data folder", f"{data_dir.absolute()} {note}")


def _filesystem(settings: Settings) -> Finding:
    kind = network_filesystem(_existing(settings.data_dir))
    if kind is None:
        return _fine("filesystem", "local")
    if not settings.resolved_database_url.startswith("sqlite"):
        return _fine("filesystem", f"{kind}, which is good enough for blobs")
    return _problem(
        "filesystem",
        f"{kind} is a network filesystem, where SQLite loses data; set BIFURK_DATA_DIR to a "
        "local folder, or BIFURK_DATABASE_URL to PostgreSQL",
    )


def _schema(settings: Settings) -> Finding:
    if _unmade(settings):
        return _fine("schema", "not there yet; `bifurk serve` makes it")
    try:
        database = Database(settings.resolved_database_url)
        try:
            database.check_current()
        finally:
            database.close()
    except BifurkError as error:
        return _problem("schema", error.detail)
    return _fine("schema", "this version's")


def _port(settings: Settings) -> Finding:
    at = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if _bifurk_answers(at):
                return _fine("port", f"a bifurk server runs on {at}")
            return _problem(
                "port",
                f"{at} cannot be had ({error.strerror}); set BIFURK_HOST or BIFURK_PORT "
                "to another, or end what listens there",
            )
    return _fine("port", f"{at} is free")


def _bifurk_answers(at: str) -> bool:
    try:
        with urllib3.PoolManager(retries=False, timeout=PROBE_SECONDS) as pool:
            answer = pool.request("GET", f"http://{at}/healthz").json()
    except (urllib3.exceptions.HTTPError, ValueError):
        return False
    return isinstance(answer, dict) and answer.get("status") == "ok"


def _clock(data_dir: Path) -> Finding:
    now = time.time()
    if now < RELEASED:
        return _problem("clock", f"says {_date(now)}, before this version was made; set it")
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(data_dir)) as file:
            apart = abs(Path(file.name).stat().st_mtime - now)
    except OSError:
        return _fine("clock", f"{_date(now)}; not compared with the data folder's")
    if apart > CLOCK_SECONDS:
        return _problem(
            "clock", f"{apart:.0f} s apart from the data folder's; set both by the network (NTP)"
        )
    return _fine("clock", f"{_date(now)}, and the data folder's agrees")


def _disk(data_dir: Path) -> Finding:
    free = shutil.disk_usage(_existing(data_dir)).free
    found = f"{free / (1 << 30):.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return _problem(
            "disk", f"{found}; make room, `bifurk runs rm` deletes runs, or set BIFURK_DATA_DIR"
        )
    return _fine("disk", found)


def _tokens(settings: Settings) -> Finding:
    guarded = False
    if not _unmade(settings):
        try:
            database = Database(settings.resolved_database_url)
            try:
                database.check_current()
                with database.read() as session:
                    guarded = any_token(session)
            finally:
                database.close()
        except BifurkError as error:
            return _problem("tokens", f"cannot be read: {error.detail}")
    if guarded:
        return _fine("tokens", "every request needs one")
    if settings.on_loopback:
        return _fine("tokens", "none: open to everybody on this machine, and to nobody else")
    return _problem(
        "tokens",
        f"none, and {settings.host} can be reached from other machines, so the server will not "
        "start; `bifurk token create NAME --scope admin` makes one",
    )


def _alerts_file(settings: Settings) -> Finding:
    """The file is right, and its channels lead where messages may go; nothing is sent."""
    if settings.alerts_file is None:
        return _fine(
            "alerts", "no BIFURK_ALERTS_FILE: nobody is told, `bifurk alerts ls` lists them"
        )
    try:
        policy = Policy.load(settings.alerts_file)
        destinations = Destinations(
            settings.notify_allowed_hosts, private=settings.notify_private_addresses
        )
    except (BifurkError, AddressError) as error:
        return _problem("alerts", str(error))
    for channel in policy.channels:
        try:
            destinations.address(check_url(channel.url))
        except AddressError as error:
            return _problem("alerts", f"channel {channel.name}: {error}")
    names = ", ".join(channel.name for channel in policy.channels) or "none"
    held = ", ".join(baseline.name for baseline in policy.baselines)
    baselines = f"; baselines: {held}" if held else ""
    return _fine("alerts", f"{len(policy.rules)} rules; channels: {names}{baselines}")


def _unmade(settings: Settings) -> bool:
    return settings.database_url is None and not (settings.data_dir / "bifurk.db").exists()


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    resolved = path.absolute()
    return next(place for place in (resolved, *resolved.parents) if place.exists())


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _fine(check: str, found: str) -> Finding:
    return Finding(check=check, ok=True, found=found)


def _problem(check: str, found: str) -> Finding:
    return Finding(check=check, ok=False, found=found)
