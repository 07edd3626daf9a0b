"""Tokens made as an operator makes them: on the command line, beside the server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CLI = (sys.executable, "-c", "from bifurk_service.cli import main; main()")


def create_token(data_dir: Path, scope: str, *options: str, **environment: str) -> str:
    """A token for the server of this folder, or of the database that the environment names."""
    made = subprocess.run(
        [*CLI, "token", "create", f"for {scope}", "--scope", scope, *options],
        env={**os.environ, "BIFURK_DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


def bearer(token: str) -> dict[str, str]:
    """The header that presents it."""
    return {"Authorization": f"Bearer {token}"}
