"""The options that commands share."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import typer

DEFAULT_URL: Final = "http://127.0.0.1:8700"

Url: TypeAlias = Annotated[str, typer.Option("--url", envvar="BIFURK_URL", help="The server.")]
Token: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--token", envvar="BIFURK_TOKEN", help="Where the server asks for one.", show_default=False
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
