"""``bifurk report``: the page of a run as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bifurk_service.commands.options import DEFAULT_URL, Token, Url
from bifurk_service.commands.rest import Rest, RestError
from bifurk_service.commands.runs import RunName, find_run
from bifurk_service.commands.whole_file import whole_file


def report(
    run: RunName,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The HTML file to write.")
    ] = Path("report.html"),
    *,
    stat: Annotated[
        str | None, typer.Option(help="Statistic of the heatmap; else std.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Write the page of a run as one HTML file that opens anywhere, offline."""
    if output.exists() and not force:
        raise RestError(f"{output} is there already; --force replaces it")
    rest = Rest(url, token)
    found = find_run(rest, run)
    with whole_file(output) as aside, aside.open("wb") as into:
        rest.download(f"/runs/{found['id']}/report", into, stat=stat)
    typer.echo(f"wrote {output} ({output.stat().st_size:,} bytes)")
