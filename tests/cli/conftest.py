"""The command as a user runs it, and one server that it talks to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from bifurk_service.cli import main
from tests.api.filling import Caller, Filled, fill
from tests.command import Command
from tests.server import Server

SECONDS = 120
COMMAND = [sys.executable, "-c", "from bifurk_service.cli import main; main()"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


Run: TypeAlias = Callable[..., Finished]


def environment(**variables: str) -> dict[str, str]:
    """This process's, without any setting of bifurk but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BIFURK_")}
    return {**kept, "COLUMNS": "200", **variables}


@pytest.fixture
def bifurk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs `bifurk` in a folder of its own, in this process to save its start.

    Keyword arguments are variables of its environment.
    """

    def run(*arguments: str, **variables: str) -> Finished:
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(os, "environ", environment(**variables))
            patch.setattr(sys, "argv", ["bifurk", *arguments])
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
            output = capsys.readouterr()
        code = ended.value.code or 0
        return Finished(returncode=int(code), stdout=output.out, stderr=output.err)

    return run


@pytest.fixture
def bifurk_process(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same in a process of its own, for commands that serve."""

    def run(*arguments: str, **variables: str) -> Finished:
        said = tmp_path_factory.mktemp("said")
        output, errors = said / "output", said / "errors"
        process = Command(
            arguments,
            environment=environment(**variables),
            output=output,
            errors=errors,
            folder=tmp_path,
        )
        code = process.wait(timeout=SECONDS)
        return Finished(returncode=code, stdout=output.read_text(), stderr=errors.read_text())

    return run


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the runs of ``fill``."""
    server = Server(tmp_path_factory.mktemp("cli") / "data")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def filled(server: Server) -> Filled:
    """Ids of what is on the server."""
    return fill(Caller(server))


def document(finished: Finished) -> Any:
    """The JSON that a command printed."""
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)
