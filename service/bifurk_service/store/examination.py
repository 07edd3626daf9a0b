"""What a person wants to know of a database before it is relied on."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from bifurk_service.errors import SetupError
from bifurk_service.store.backlog import connections
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresFacts:
    """What a PostgreSQL server says of itself.

    Attributes:
        version: the major one. limit, in_use: connections that others than superusers may have,
            and that there are. of_a_process: how many one process of bifurk may open.
    """

    version: int
    limit: int
    in_use: int
    of_a_process: int


def postgres_facts(database: Database) -> PostgresFacts:
    """Asks the server.

    Raises:
        SetupError: it does not answer, or does not let us in.
    """
    try:
        with database.engine.connect() as connection:
            version, limit, reserved, in_use = connection.execute(
                text(
                    "SELECT current_setting('server_version_num')::int,"
                    " current_setting('max_connections')::int,"
                    " current_setting('superuser_reserved_connections')::int,"
                    " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
                )
            ).one()
    except DatabaseError as error:
        raise SetupError(str(error.orig).strip()) from error
    return PostgresFacts(
        version=version // 10_000,
        limit=limit - reserved,
        in_use=in_use,
        of_a_process=connections(database).limit or 1,
    )


def last_moved_at(session: Session) -> float | None:
    """When a snapshot was last measured or judged (seconds since 1970 UTC); None: never."""
    measured, judged = session.execute(
        select(func.max(Snapshot.measured_at), func.max(Snapshot.judged_at))
    ).one()
    known = [at for at in (measured, judged) if at is not None]
    return max(known, default=None)
