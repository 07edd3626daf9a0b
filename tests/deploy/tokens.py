"""What an operator does on the command line beside the server, and the tokens made there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner

from bifurk_service.cli import app


def said(environment: Mapping[str, str], *command: str) -> str:
    """What a command prints; it runs in this process, to save its start."""
    ended = CliRunner().invoke(app, command, env=environment, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout.strip()


def create_token(data_dir: Path, scope: str, **environment: str) -> str:
    """A token for the server of this folder, or of the database that the environment names."""
    given = {"BIFURK_DATA_DIR": str(data_dir), **environment}
    return said(given, "token", "create", f"for {scope}", "--scope", scope)


def bearer(token: str) -> dict[str, str]:
    """The header that presents it."""
    return {"Authorization": f"Bearer {token}"}
