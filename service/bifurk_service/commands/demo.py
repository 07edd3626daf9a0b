"""``bifurk demo``: trainings that fork and fail before your eyes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from bifurk_service.demo import DemoUnavailableError, run
from bifurk_service.errors import SetupError

DATA_DIR: Final = Path("bifurk-demo")


def demo(
    *,
    exit_when_done: Annotated[
        bool, typer.Option("--exit", help="End after the report instead of serving on.")
    ] = False,
    data_dir: Annotated[
        Path, typer.Option(help="Gets a folder for data, logs and pictures.")
    ] = DATA_DIR,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Of the server; else a free one.")
    ] = None,
) -> None:
    """Start a server, train five small models through the hook, and tell what happened."""
    try:
        code = run(exit_when_done=exit_when_done, data_dir=data_dir, port=port)
    except DemoUnavailableError as error:
        raise SetupError(str(error)) from error
    raise typer.Exit(code)
