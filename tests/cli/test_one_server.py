"""One server a data folder: a second one is turned away, a dead one is not in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bifurk_service.commands.open_folder import SERVER_FOLDER
from tests.cli.conftest import Run
from tests.server import Server


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has its folder, which is the one that `bifurk open` would use too."""
    server = Server(tmp_path_factory.mktemp("bifurk") / SERVER_FOLDER)
    yield server
    server.stop()


def turned_away(first: Server) -> str:
    return (
        f"bifurk: another server (pid {first.process.pid}) uses {first.data_dir}; "
        "stop it or pass --data-dir"
    )


def test_a_second_server_on_the_same_folder_is_turned_away(
    first: Server, bifurk_process: Run
) -> None:
    second = bifurk_process("serve", "--port", "0", "--data-dir", str(first.data_dir))
    assert second.returncode == 1
    assert second.stderr.strip() == turned_away(first)
    assert first.get("/healthz")


def test_a_folder_is_opened_once_at_a_time(first: Server, bifurk: Run) -> None:
    second = bifurk("open", str(first.data_dir.parent), "--exit")
    assert second.returncode == 1
    assert second.stderr.strip() == turned_away(first)


@pytest.mark.parametrize("command", [["token", "ls"], ["db", "upgrade"]])
def test_commands_that_do_not_serve_need_no_lock(
    first: Server, bifurk: Run, command: list[str]
) -> None:
    ended = bifurk(*command, BIFURK_DATA_DIR=str(first.data_dir))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("end", [Server.kill, Server.stop])
def test_a_server_that_is_gone_leaves_the_folder_free(
    start_server: Callable[..., Server], tmp_path: Path, end: Callable[[Server], None]
) -> None:
    end(start_server(tmp_path / "data"))
    assert start_server(tmp_path / "data").get("/healthz")
