"""What goes wrong is one clear line, with the exit code that says whose fault it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.api.conftest import make_tokens
from tests.cli.conftest import Run
from tests.server import Server


def one_line(text: str) -> str:
    [line] = text.strip().splitlines()
    return line


def test_an_absent_server_is_said_to_be_absent(bifurk: Run) -> None:
    for command in (["runs", "ls"], ["alerts", "ls"], ["runs", "rm", "x", "--yes"]):
        answer = bifurk(*command, "--url", "http://127.0.0.1:9")
        assert answer.returncode == 1
        assert one_line(answer.stderr).startswith("bifurk: no bifurk server answers at")
        assert answer.stdout == ""


def test_a_token_is_taken_without_the_line_end_of_its_file(bifurk: Run, server: Server) -> None:
    answer = bifurk("runs", "ls", "--url", server.url, BIFURK_TOKEN="abc\n")
    assert "no bifurk server answers" not in answer.stderr
    broken = bifurk("runs", "ls", "--url", server.url, BIFURK_TOKEN="ab\nc")
    assert broken.returncode == 1
    assert "the token holds what no HTTP header may" in one_line(broken.stderr)


@pytest.fixture(scope="module")
def closed_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with tokens."""
    data_dir = tmp_path_factory.mktemp("closed") / "data"
    tokens = make_tokens(data_dir)
    server = Server(data_dir)
    yield server, tokens
    server.stop()


def test_a_refused_token_is_said_to_be_refused(
    bifurk: Run, closed_server: tuple[Server, dict[str, str]]
) -> None:
    server, tokens = closed_server
    for token in ("", "nonsense", tokens["expired"]):
        answer = bifurk("runs", "ls", BIFURK_URL=server.url, BIFURK_TOKEN=token)
        assert answer.returncode == 1
        assert "Authorization: Bearer" in one_line(answer.stderr)
    answer = bifurk("runs", "ls", BIFURK_URL=server.url, BIFURK_TOKEN=tokens["write"])
    assert "scope read" in one_line(answer.stderr)
    answer = bifurk("runs", "ls", BIFURK_URL=server.url, BIFURK_TOKEN=tokens["read"])
    assert answer.returncode == 0


def test_an_unknown_run_or_alert_is_said_to_be_unknown(
    bifurk: Run, closed_server: tuple[Server, dict[str, str]]
) -> None:
    server, tokens = closed_server
    asked = {"BIFURK_URL": server.url, "BIFURK_TOKEN": tokens["admin"]}
    for command in (["runs", "show", "17"], ["runs", "show", "a/b"], ["alerts", "show", "3"],
                    ["alerts", "ls", "--run", "x"], ["runs", "rm", "y", "--yes"]):  # fmt: skip
        answer = bifurk(*command, **asked)
        assert answer.returncode == 1
        assert "no run" in answer.stderr or "no alert" in answer.stderr
        assert one_line(answer.stderr)


class NotBifurk(BaseHTTPRequestHandler):
    """Some other server: pages, redirects, JSON of another kind."""

    def do_GET(self) -> None:
        if "elsewhere" in self.path:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>" if "page" in self.path else b"[]")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize("prefix", ["page", "list", "elsewhere"])
def test_another_kind_of_server_is_told_from_ours(bifurk: Run, prefix: str) -> None:
    with HTTPServer(("127.0.0.1", 0), NotBifurk) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        answer = bifurk("runs", "ls", "--url", f"http://127.0.0.1:{other.server_port}/{prefix}")
        other.shutdown()
    assert answer.returncode == 1
    assert "bifurk server" in one_line(answer.stderr)


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "ftp://127.0.0.1/", "http://[::1"])
def test_a_url_that_is_none_is_one_line_too(bifurk: Run, url: str) -> None:
    answer = bifurk("runs", "ls", "--url", url)
    assert answer.returncode in (1, 2)
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "command",
    [["runs"], ["nothing"], ["runs", "show"], ["alerts", "show", "x"], ["alerts", "show", "0"],
     ["alerts", "ls", "--severity", "loud"], ["alerts", "ls", "--since", "-1"],
     ["token", "create", "x", "--scope", "root"], ["token", "create"], ["serve", "--port", "99999"],
     ["open", "no-such-folder"], ["demo", "--port", "0"]],
)  # fmt: skip
def test_wrong_usage_ends_with_code_2(bifurk: Run, command: list[str]) -> None:
    answer = bifurk(*command)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr


def test_a_setting_that_cannot_be_is_named(bifurk_process: Run) -> None:
    answer = bifurk_process("serve", BIFURK_PORT="many")
    assert answer.returncode == 1
    assert one_line(answer.stderr).startswith("bifurk: BIFURK_PORT: ")


def test_a_file_that_is_no_database_is_named(bifurk_process: Run, tmp_path: Path) -> None:
    (tmp_path / "bifurk.db").write_bytes(b"not a database " * 100)
    answer = bifurk_process("serve", "--data-dir", ".")
    assert answer.returncode == 1
    assert "bifurk.db cannot be used" in one_line(answer.stderr)


def test_a_folder_that_cannot_be_made_is_named(bifurk_process: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in (["serve", "--data-dir", "file/data"], ["token", "ls"], ["db", "upgrade"]):
        answer = bifurk_process(*command, BIFURK_DATA_DIR="file/data")
        assert answer.returncode == 1
        assert "cannot be made" in one_line(answer.stderr)


def test_other_addresses_than_loopback_are_refused_without_a_token(bifurk_process: Run) -> None:
    answer = bifurk_process("serve", "--host", "0.0.0.0", "--port", "0")
    assert answer.returncode == 1
    assert "can be reached from other machines" in answer.stderr
