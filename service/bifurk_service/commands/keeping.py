"""``bifurk runs keep``, ``pin`` and ``unpin``: how long a run is kept, and how much of it."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from bifurk_service.commands.options import DEFAULT_URL, Token, Url
from bifurk_service.commands.output import show_facts
from bifurk_service.commands.rest import Json, Rest
from bifurk_service.commands.runs import RunName, find_run, kept_facts

DEFAULT: Final = "default"
"""Goes back to the server's setting."""


def keep(
    name: RunName,
    *,
    days: Annotated[
        str | None,
        typer.Option(metavar="DAYS|default", help="Delete it so long after its last news."),
    ] = None,
    most_bytes: Annotated[
        str | None,
        typer.Option("--bytes", metavar="BYTES|default", help="Thin its past beyond so many."),
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Say how long a run is kept, and how much of it; `default`: as the server's settings say."""
    change: Json = {}
    if days is not None:
        change["retention_days"] = _number(days, "--days", float)
    if most_bytes is not None:
        change["keep_bytes"] = _number(most_bytes, "--bytes", int)
    if not change:
        raise typer.BadParameter("say --days, --bytes or both")
    rest = Rest(url, token)
    show_facts(kept_facts(rest.patch(f"/api/v1/runs/{find_run(rest, name)['id']}", change)))


def pin(
    name: RunName,
    *,
    first: Annotated[int, typer.Option("--from", min=0, help="First step.")] = 0,
    last: Annotated[
        int | None, typer.Option("--to", min=0, help="Last step; without it, all that come.")
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Keep steps of a run from thinning; alerts keep theirs by themselves."""
    rest = Rest(url, token)
    wish = {"first_step": first} | ({} if last is None else {"last_step": last})
    made = rest.post(f"/api/v1/runs/{find_run(rest, name)['id']}/pins", wish)
    typer.echo(f"pin {made['id']}: steps {made['first_step']} to {made['last_step']} stay whole")


def unpin(
    name: RunName,
    pins: Annotated[list[int], typer.Argument(metavar="PINS", help="Ids from `runs show`.")],
    *,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Take pins away; what they kept may be thinned from then on."""
    rest = Rest(url, token)
    run = find_run(rest, name)
    for pin_id in pins:
        rest.delete(f"/api/v1/runs/{run['id']}/pins/{pin_id}")
        typer.echo(f"pin {pin_id} is gone")


def _number(text: str, option: str, kind: type[int | float]) -> float | None:
    if text == DEFAULT:
        return None
    try:
        return kind(text)
    except ValueError:
        raise typer.BadParameter(f"{option} takes a number or {DEFAULT}, got {text!r}") from None
