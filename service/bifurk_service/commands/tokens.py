"""``bifurk token``: credentials."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Final

import typer

from bifurk_service.commands.audit import operator
from bifurk_service.commands.options import AsJson
from bifurk_service.commands.output import show_json, show_table, when
from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database
from bifurk_service.store.tokens import (
    any_token,
    create_token,
    list_tokens,
    revoke_token,
    rotate_token,
)

app = typer.Typer(help="Tokens for clients, dashboards and people.", no_args_is_help=True)

DAY_SECONDS: Final = 86_400
HOUR_SECONDS: Final = 3600


class Scope(StrEnum):
    """What a token may do; the store knows what each stands for."""

    WRITE = "write"
    READ = "read"
    ADMIN = "admin"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    *,
    scope: Annotated[
        Scope, typer.Option(help="For a training job, a dashboard, or a person (all).")
    ] = Scope.WRITE,
    project: Annotated[
        str | None, typer.Option(help="Only for this project, which is made if it is new.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="Valid for this long; else for good.")
    ] = None,
) -> None:
    """Make a token and print it; it cannot be shown again."""
    now = time.time()
    with _database() as database, database.write() as session:
        token = create_token(
            session,
            name=name,
            scope=scope.value,
            project=project,
            expires_at=None if days is None else now + days * DAY_SECONDS,
            now=now,
            by=operator(),
        )
    typer.echo(token)


@app.command("ls")
def ls(*, as_json: AsJson = False) -> None:
    """List tokens, without their secrets."""
    with _database() as database, database.read() as session:
        tokens = list_tokens(session)
    if as_json:
        show_json([asdict(token) for token in tokens])
        return
    show_table(
        ("ID", "NAME", "SCOPE", "PROJECT", "MADE", "VALID UNTIL", "LAST USED"),
        [
            (
                token.id,
                token.name,
                token.scope,
                token.project or "all",
                when(token.created_at),
                when(token.expires_at) or "for good",
                when(token.used_at) or "never",
            )
            for token in tokens
        ],
    )


@app.command()
def rotate(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name, or its number in `bifurk token ls`.")
    ],
    *,
    grace: Annotated[
        float, typer.Option(min=0, help="Hours for which the secret it has stays good.")
    ] = 24.0,
    days: Annotated[
        float | None, typer.Option(min=0, help="A new end so far from now; else the one it has.")
    ] = None,
) -> None:
    """Give a token a new secret and print the token; it cannot be shown again."""
    now = time.time()
    with _database() as database, database.write() as session:
        token = rotate_token(
            session,
            name,
            grace_seconds=grace * HOUR_SECONDS,
            expires_at=None if days is None else now + days * DAY_SECONDS,
            now=now,
            by=operator(),
        )
    typer.echo(token)


@app.command()
def revoke(
    token_id: Annotated[
        int, typer.Argument(metavar="ID", min=1, help="Its number in `bifurk token ls`.")
    ],
) -> None:
    """Make a token worthless from now on."""
    with _database() as database, database.write() as session:
        revoke_token(session, token_id, now=time.time(), by=operator())
        guarded = any_token(session)
    typer.echo(f"token {token_id} is revoked")
    if not guarded:
        typer.echo("no token is left: a server on loopback is open to everybody on its machine")


@contextmanager
def _database() -> Iterator[Database]:
    from bifurk_service.server import prepare_schema  # noqa: PLC0415 - slow, see ``bifurk serve``

    settings = Settings()
    prepare_schema(settings)
    database = Database(settings.resolved_database_url)
    try:
        yield database
    finally:
        database.close()
