"""``bifurk alerts evidence`` and ``verify``: what an alert rests on, fetched and run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bifurk_service.commands.options import DEFAULT_URL, Token, Url
from bifurk_service.commands.output import plain
from bifurk_service.commands.rest import Rest
from bifurk_service.errors import InvalidError


def evidence(
    alert_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="Its number in `ls`.")],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; alert-ID.json without it.")
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Write everything an alert rests on into one file."""
    path = output or Path(f"alert-{alert_id}.json")
    try:
        with path.open("wb") as file:
            Rest(url, token).download(f"/api/v1/alerts/{alert_id}/evidence", file)
    except OSError as error:
        raise InvalidError(f"{path} cannot be written: {error.strerror}") from error
    typer.echo(str(path))


def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="Of `evidence`.")
    ],
) -> None:
    """Run the detectors over an evidence file again: the same verdict, or what differs.

    Needs no server. Exits with 1 where the verdict is another one.
    """
    # The detectors bring scipy, for which no other command should wait.
    from bifurk_service.replay.evidence import verify as differences_of  # noqa: PLC0415

    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidError(f"{file.name} is no evidence of an alert: {error}") from error
    differences = differences_of(document)
    if differences:
        for line in differences:
            typer.echo(plain(line))
        raise typer.Exit(1)
    typer.echo(f"the same verdict: {plain(document['alert']['sentence'])}")
