"""Runs migrations for the URL it is configured with."""

from alembic import context
from sqlalchemy import create_engine

from bifurk_service.store.models import Base

url = context.config.get_main_option("sqlalchemy.url")
assert url, "migrations run through `bifurk db upgrade`"
engine = create_engine(url)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
