"""``bifurk db``: the schema."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from alembic import command

from bifurk_service.errors import SetupError
from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database, alembic_config
from bifurk_service.store.views import grant_views

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Bring the database up to this version's schema."""
    settings = Settings()
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{settings.data_dir} cannot be made: {error.strerror}") from error
    database = Database(settings.resolved_database_url)
    try:
        database.upgrade()
        database.check_current()
    finally:
        database.close()
    typer.echo("the database is up to date")


@app.command()
def grant(
    role: Annotated[str, typer.Argument(help="A role of PostgreSQL.", show_default=False)],
) -> None:
    """Let a role of PostgreSQL read the views for dashboards, and nothing else."""
    database = Database(Settings().resolved_database_url)
    try:
        database.check_current()
        grant_views(database, role)
    finally:
        database.close()
    typer.echo(f"{role} may read the views")


@app.command()
def check() -> None:
    """Fail unless the migrations give exactly the schema that the code declares."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'check.db'}"
        command.upgrade(alembic_config(url), "head")
        command.check(alembic_config(url))
