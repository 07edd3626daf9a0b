"""Scripts run as they are, and again under ``bifurk run``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bifurk.sync import sync
from bifurk.testing import InMemoryTransport
from bifurk.wire import Part

SCRIPTS = Path(__file__).parent / "scripts"
SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended, and what it left."""

    code: int
    stdout: str
    stderr: str
    parts: tuple[Part, ...]
    states: tuple[str, ...]

    def parts_of(self, run: str) -> list[Part]:
        """The parts of the run whose name ends so."""
        return [part for part in self.parts if part.manifest.run.endswith(run)]


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
        transport = InMemoryTransport()
        written = self.folder / "bifurk"
        if written.exists():
            sync(written, connect=lambda _url: transport, own_only=True, report=lambda _line: None)
        return Ended(
            code=done.returncode,
            stdout=done.stdout,
            stderr=done.stderr,
            parts=tuple(transport.parts()),
            states=tuple(report["state"] for report in transport.states()),
        )
