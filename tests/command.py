"""`bifurk` in a process of its own, forked from one that has imported it already.

Its imports take seconds, and the suite starts it a hundred times. What an interpreter of its own
does is left to the tests of the command line and of the quickstart.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired
from types import ModuleType

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["bifurk_service.cli", "bifurk_service.server", "tests.preloaded"])

WORLD = "TESTS_WORLD"
"""Variable of a command's environment: `module:function:argument` of what changes the world that it
lives in, its clock or its disk, before it starts."""


class Command:
    """A running `bifurk`, as far as it is used like ``subprocess.Popen``.

    Args:
        arguments: the words after `bifurk`. environment: all of its variables.
        output: the file that what it says goes to. errors: that of its complaints, if another.
        folder: where it runs, this process's own unless given.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        output: Path,
        errors: Path | None = None,
        folder: Path | None = None,
    ) -> None:
        self._name = arguments[0]
        self._process = _FORKING.Process(
            target=_run,
            args=(
                list(arguments),
                dict(environment),
                (str(output), str(errors or output)),
                str(folder or Path.cwd()),
            ),
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or the signal that ended it, negative; ``None`` while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """As ``returncode``."""
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Waits for its end; ``TimeoutExpired`` if that takes more seconds than this."""
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutExpired(self._name, timeout)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal; one that is gone gets none."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, as the out-of-memory killer would."""
        self.send_signal(signal.SIGKILL)


def _run(
    arguments: list[str], environment: dict[str, str], files: tuple[str, str], folder: str
) -> None:
    # What it spawns imports no pytest.
    sys.modules["__main__"] = ModuleType("__main__")
    for stream, file in enumerate(files, start=1):
        written = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(written, stream)
        os.close(written)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["bifurk", *arguments]
    if WORLD in environment:
        module, function, argument = environment[WORLD].split(":", 2)
        getattr(importlib.import_module(module), function)(argument)
    from bifurk_service.cli import main

    main()
