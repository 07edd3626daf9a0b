"""``bifurk audit``: who did what."""

from __future__ import annotations

import getpass
import math
import os
import time
from typing import Annotated, Final

import typer

from bifurk_service.commands.options import DEFAULT_URL, AsJson, Token, Url
from bifurk_service.commands.output import show_json, show_table, when
from bifurk_service.commands.rest import Rest
from bifurk_service.store.audit import Actor

app = typer.Typer(help="The log of who did what on a server.", no_args_is_help=True)

DAY_SECONDS: Final = 86_400
COLUMNS: Final = ("who", "token", "address", "action", "target", "detail")


@app.command("ls")
def list_acts(
    *,
    days: Annotated[float, typer.Option(min=0, help="Of the last so many days.")] = 30.0,
    action: Annotated[
        list[str] | None, typer.Option(help="Only this, such as run_deleted; repeat for more.")
    ] = None,
    who: Annotated[str | None, typer.Option(help="Only by this name.")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List who did what, when and from where, oldest first; needs scope admin."""
    since = max(0, math.ceil(time.time() - days * DAY_SECONDS))
    found = list(Rest(url, token).items("/api/v1/audit", since=since, action=action, who=who))
    if as_json:
        show_json(found)
        return
    show_table(
        ("AT", *map(str.upper, COLUMNS)),
        [(when(one["at"]), *(one[name] for name in COLUMNS)) for one in found],
    )


def operator() -> Actor:
    """Whoever runs a command on the server's machine."""
    try:
        return Actor(who=getpass.getuser())
    except (KeyError, OSError):  # a user without a name, as in many containers
        return Actor(who=f"user {os.getuid()}")
