"""What SQLite and PostgreSQL say in different words."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Double, cast, func
from sqlalchemy.orm import Session


def is_sqlite(session: Session) -> bool:
    """Whether a session is one of SQLite's."""
    return session.get_bind().dialect.name == "sqlite"


def now(*, sqlite: bool) -> ColumnElement[float]:
    """The database's clock, in seconds since 1970 UTC."""
    if sqlite:
        return cast((func.julianday("now") - 2440587.5) * 86_400.0, Double)
    return cast(func.extract("epoch", func.clock_timestamp()), Double)
