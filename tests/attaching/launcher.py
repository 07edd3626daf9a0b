"""Scripts run as they are, and again under ``bifurk run``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.integrations.arrived import Arrived, left_in

SCRIPTS = Path(__file__).parent / "scripts"
SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended, and what it left."""

    code: int
    stdout: str
    stderr: str
    left: Arrived


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts commands in a folder of their own."""

    folder: Path

    def as_it_is(self, *command: str) -> Ended:
        """The command by itself."""
        return self._run(command, {})

    def watched(
        self, *command: str, options: Sequence[str] = ("--every", "10"), **environ: str
    ) -> Ended:
        """The command under ``bifurk run``, offline."""
        before = [sys.executable, "-m", "bifurk", "run", *options, "--"]
        return self._run([*before, *command], {"BIFURK_OVERHEAD_BUDGET": "none", **environ})

    def _run(self, command: Sequence[str], environ: dict[str, str]) -> Ended:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ended(
            code=done.returncode,
            stdout=done.stdout,
            stderr=done.stderr,
            left=left_in(self.folder / "bifurk"),
        )
