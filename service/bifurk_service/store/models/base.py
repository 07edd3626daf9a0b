"""What all tables share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase

NAME = String(512)
SLUG = String(128)
WORD = String(64)
WHOLE = BigInteger().with_variant(Integer, "sqlite")
"""Steps go beyond 2^31; SQLite's INTEGER is 64 bits wide and alone can be a row's own id."""


NEVER_AGAIN = {"sqlite_autoincrement": True}
"""Ids are not given a second time after a deletion: paths, caches and readers hold on to them."""


class Base(DeclarativeBase):
    """All tables; times are seconds since 1970 UTC as float."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {int: WHOLE, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 - SQLAlchemy's form
