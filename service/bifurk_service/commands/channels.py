"""``bifurk channels``: who is told of alerts, and whether that works."""

from __future__ import annotations

import sys
from typing import Annotated
from urllib.parse import quote

import typer

from bifurk_service.commands.options import DEFAULT_URL, AsJson, Token, Url
from bifurk_service.commands.output import plain, show_json, show_table, when
from bifurk_service.commands.rest import Json, Rest

app = typer.Typer(help="Channels that alerts go to: list, try out.", no_args_is_help=True)


@app.command("ls")
def list_channels(*, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """List the channels of the alerts file, what waits for them, and how the last message went."""
    found = Rest(url, token).get("/api/v1/channels")["items"]
    if as_json:
        show_json(found)
        return
    show_table(("NAME", "TYPE", "WAITING", "LAST", "AT", "PROBLEM"), [_row(one) for one in found])


@app.command("test")
def try_channel(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in `ls`.")],
    *,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Send a test message through one channel; exit code 1 if it does not arrive."""
    answer = Rest(url, token).post(f"/api/v1/channels/{quote(name, safe='')}/test", {})
    if as_json:
        show_json(answer)
    elif answer["delivered"]:
        typer.echo(f"{plain(name)} took the message (status {answer['status_code']})")
    else:
        typer.echo(f"{plain(name)} did not take the message: {plain(answer['error'])}")
    if not answer["delivered"]:
        sys.exit(1)


def _row(channel: Json) -> tuple[object, ...]:
    last = channel["last"] or {}
    return (
        channel["name"],
        channel["type"],
        channel["waiting"],
        last.get("state"),
        when(last.get("delivered_at") or last.get("created_at")),
        last.get("error"),
    )
