"""`bifurk audit ls`: who did what on a server."""

from __future__ import annotations

from tests.api.filling import Filled
from tests.cli.conftest import Run, document
from tests.server import Server


def test_what_a_command_did_is_listed(bifurk: Run, server: Server, filled: Filled) -> None:
    assert bifurk("runs", "tag", str(filled.run), "audited", BIFURK_URL=server.url).returncode == 0
    listed = bifurk("audit", "ls", "--action", "tag_added", BIFURK_URL=server.url)
    header, *lines = listed.stdout.splitlines()
    assert header.split("\t") == ["AT", "WHO", "TOKEN", "ADDRESS", "ACTION", "TARGET", "DETAIL"]
    assert lines[-1].split("\t")[1:] == [
        "anonymous", "-", "127.0.0.1", "tag_added", "tests/run", "audited",
    ]  # fmt: skip
    found = document(bifurk("audit", "ls", "--json", "--who", "anonymous", BIFURK_URL=server.url))
    assert found[-1]["detail"] == "audited"
    assert document(bifurk("audit", "ls", "--json", "--days", "0", BIFURK_URL=server.url)) == []


def test_an_action_that_there_is_not_is_refused(bifurk: Run, server: Server) -> None:
    answer = bifurk("audit", "ls", "--action", "nothing", BIFURK_URL=server.url)
    assert answer.returncode == 1
    assert "tag_added" in answer.stderr
