"""The versioned views: what dashboards and other readers of the database may rely on."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from bifurk_service.errors import SetupError
from bifurk_service.store.engine import Database

VIEWS: Final = (
    "bifurk_v1_series",
    "bifurk_v1_tensors",
    "bifurk_v1_alerts",
    "bifurk_v1_scalars",
    "bifurk_v1_runs",
)
"""Their columns stay as they are; a change is a new version beside them."""


def grant_views(database: Database, role: str) -> None:
    """Lets a role of PostgreSQL read the views; again changes nothing.

    A view reads with the rights of its owner, so the role needs none on the tables.

    Raises:
        SetupError: the database is no PostgreSQL, or has no such role.
    """
    if database.engine.dialect.name != "postgresql":
        raise SetupError(
            "only PostgreSQL has roles: set BIFURK_DATABASE_URL; "
            "whoever may read SQLite's file reads all of it"
        )
    with database.write() as session:
        known = session.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
        if known is None:
            raise SetupError(f"there is no role {role!r}; make it with `CREATE ROLE ... LOGIN`")
        quoted = database.engine.dialect.identifier_preparer.quote_identifier(role)
        schema = session.scalar(text("SELECT current_schema()"))
        session.execute(text(f'GRANT USAGE ON SCHEMA "{schema}" TO {quoted}'))
        session.execute(text(f"GRANT SELECT ON {', '.join(VIEWS)} TO {quoted}"))
