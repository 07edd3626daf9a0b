"""What is kept: the database and what waits in it, the blobs, who may come in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final
from uuid import uuid4

from bifurk_service.commands.doctor.finding import Finding, fine, problem, warning
from bifurk_service.errors import BifurkError
from bifurk_service.settings import Settings
from bifurk_service.store.backlog import among, waiting_by_state
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.examination import last_moved_at, postgres_facts
from bifurk_service.store.tokens import any_token

LEAST_POSTGRES: Final = 12
"""The oldest whose SQL the migrations and the views are written in."""
TESTED_POSTGRES: Final = 15
STILL_SECONDS: Final = 300.0
"""Nothing was measured or judged for so long while something waits: nobody works on it."""


def findings(settings: Settings) -> Iterator[Finding]:
    """Of the database, then of the blobs; a database that is not made yet is no problem."""
    if _unmade(settings):
        yield fine("schema", "not there yet; `bifurk serve` makes it")
        yield _blobs(settings)
        yield _tokens(settings, guarded=False)
        return
    try:
        database = Database(settings.resolved_database_url)
    except BifurkError as error:
        yield problem("schema", error.detail, "see BIFURK_DATABASE_URL and BIFURK_DATA_DIR")
        return
    try:
        yield from _of_the_database(settings, database)
    finally:
        database.close()
    yield _blobs(settings)


def _of_the_database(settings: Settings, database: Database) -> Iterator[Finding]:
    if not settings.resolved_database_url.startswith("sqlite"):
        found = _postgres(database)
        yield found
        if found.advice and "cannot be reached" in found.found:
            return
    try:
        database.check_current()
    except BifurkError as error:
        yield problem(
            "schema",
            error.detail,
            "`bifurk db upgrade` brings an older one up to date; a newer one needs its version",
        )
        return
    yield fine("schema", "this version's")
    try:
        with database.read() as session:
            waiting, moved = among(waiting_by_state(session)), last_moved_at(session)
            guarded = any_token(session)
    except BifurkError as error:
        yield problem("queue", error.detail, "see the database's own log")
        return
    yield _queue(waiting.count, waiting.age_seconds(time.time()), moved)
    yield _tokens(settings, guarded=guarded)


def _postgres(database: Database) -> Finding:
    try:
        facts = postgres_facts(database)
    except BifurkError as error:
        return problem(
            "database",
            f"cannot be reached: {error.detail}",
            "see that it runs, and its address, role and password in BIFURK_DATABASE_URL",
        )
    found = (
        f"PostgreSQL {facts.version}; {facts.in_use} of its {facts.limit} connections are in use, "
        f"a process of bifurk may use {facts.of_a_process}"
    )
    if facts.version < LEAST_POSTGRES:
        return problem("database", found, f"it is too old: {TESTED_POSTGRES} is tested")
    processes = facts.limit // max(1, facts.of_a_process)
    if processes < 2:
        return problem("database", found, "raise max_connections: a server and a worker need both")
    if facts.version < TESTED_POSTGRES:
        return warning("database", found, f"{TESTED_POSTGRES} and newer are tested")
    return fine("database", f"{found}: room for {processes} of them")


def _queue(count: int, age_seconds: float, moved: float | None) -> Finding:
    if count == 0:
        return fine("queue", "nothing waits")
    found = f"{count} snapshots wait, the oldest for {age_seconds:.0f} s"
    still = time.time() - moved if moved is not None else age_seconds
    if min(still, age_seconds) > STILL_SECONDS:
        return problem(
            "queue",
            f"{found}, and nothing was measured or judged for {still:.0f} s",
            "start `bifurk serve`, or `bifurk worker` where BIFURK_PIPELINE=false; if one runs, "
            "its log says what it waits for",
        )
    return fine("queue", found)


def _tokens(settings: Settings, *, guarded: bool) -> Finding:
    if guarded:
        return fine("tokens", "every request needs one")
    if settings.on_loopback:
        return fine("tokens", "none: open to everybody on this machine, and to nobody else")
    return problem(
        "tokens",
        f"none, and {settings.host} can be reached from other machines, so the server will not "
        "start",
        "`bifurk token create NAME --scope admin` makes one",
    )


def _blobs(settings: Settings) -> Finding:
    """Writes one, reads it and deletes it, where there is a place already."""
    url = settings.resolved_blob_url
    if settings.blob_url is None and not (settings.data_dir / "blobs").is_dir():
        return fine("blobs", "in the data folder, once there are any")
    key, body = f"doctor/{uuid4().hex}.part", b"bifurk doctor"
    try:
        blobs = open_blobs(url)
        blobs.put(key, body)
        came = blobs.get(key)
        blobs.delete(key)
    except Exception as error:  # noqa: BLE001 - each kind of storage fails in its own way
        return problem(
            "blobs",
            f"a blob could not be written and read: {error}",
            "see BIFURK_BLOB_URL, its credentials and permissions",
        )
    if came != body:
        return problem("blobs", "a blob came back changed", "use another storage")
    return fine("blobs", "one was written, read and deleted")


def _unmade(settings: Settings) -> bool:
    is_default = settings.database_url is None and settings.database_url_file is None
    return is_default and not (settings.data_dir / "bifurk.db").exists()
