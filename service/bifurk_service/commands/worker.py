"""``bifurk worker``: the pipeline in a process of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from bifurk_service.logs import configure
from bifurk_service.settings import Settings


def worker(
    host: Annotated[str | None, typer.Option(help="Address of its metrics.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port of its metrics; 0: a free one.")
    ] = None,
) -> None:
    """Measure, judge and tell, on PostgreSQL; `bifurk serve` takes in."""
    from bifurk_service.server import work  # noqa: PLC0415 - slow, see ``bifurk serve``

    given = {"host": host, "port": port}
    settings = Settings.given({name: value for name, value in given.items() if value is not None})
    configure(as_json=settings.log_format == "json", level=settings.log_level)
    try:
        work(settings, on_ready=lambda address: _say(f"bifurk worker listens on {address}"))
    except KeyboardInterrupt:
        _say("bifurk worker has stopped")


def _say(line: str) -> None:
    typer.echo(line, err=True)
