"""Runs migrations for the URL it is configured with.

On PostgreSQL those who upgrade at once do so one after the other, and none waits long for a table:
behind it everybody else would. ``bifurk db upgrade`` tries again.
"""

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from bifurk_service.store.locks import UPGRADE_LOCK
from bifurk_service.store.migrating import UPGRADE_LOCK_SECONDS
from bifurk_service.store.models import Base

url = context.config.get_main_option("sqlalchemy.url")
assert url, "migrations run through `bifurk db upgrade`"
engine = create_engine(url, poolclass=NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{UPGRADE_LOCK_SECONDS}s'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
        context.run_migrations()
