"""`bifurk channels`: who is told, and whether that works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run, document
from tests.notify.receiver import Receiver
from tests.server import Server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def test_channels_are_listed_and_tried_out_and_their_addresses_stay_secret(
    bifurk: Run, start_server: Callable[..., Server], tmp_path: Path, receiver: Receiver
) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(f"channels: {{team: {{type: slack, url: '{receiver.url}/hidden'}}}}")
    server = start_server(BIFURK_ALERTS_FILE=str(file), BIFURK_NOTIFY_PRIVATE_ADDRESSES="true")

    well = bifurk("channels", "test", "team", BIFURK_URL=server.url)
    assert (well.returncode, well.stdout) == (0, "team took the message (status 200)\n")
    assert receiver.received[0].path == "/hidden"
    assert "This is a test" in receiver.received[0].json["text"]

    receiver.answer(404, said=b"no_service")
    refused = bifurk("channels", "test", "team", BIFURK_URL=server.url)
    assert refused.returncode == 1
    assert refused.stdout == "team did not take the message: answered 404: no_service\n"

    unknown = bifurk("channels", "test", "nobody/else", BIFURK_URL=server.url)
    assert unknown.returncode == 1

    listed = bifurk("channels", "ls", BIFURK_URL=server.url)
    assert listed.stdout.splitlines()[1].split("\t") == ["team", "slack", "0", "-", "-", "-"]
    whole = document(bifurk("channels", "ls", "--json", BIFURK_URL=server.url))
    assert whole == [{"name": "team", "type": "slack", "waiting": 0, "last": None}]


def test_a_server_does_not_start_with_an_alerts_file_that_is_wrong(
    bifurk_process: Run, tmp_path: Path
) -> None:
    (tmp_path / "alerts.yaml").write_text("rules:\n  - {name: one, action: whisper}\n")
    ended = bifurk_process("serve", "--port", "0", BIFURK_ALERTS_FILE="alerts.yaml")
    assert ended.returncode == 1
    assert "alerts.yaml, line 2: rules[0].action: input should be" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_server_does_not_start_with_a_list_of_hosts_that_is_wrong(bifurk_process: Run) -> None:
    ended = bifurk_process("serve", "--port", "0", BIFURK_NOTIFY_ALLOWED_HOSTS='["http://a"]')
    assert ended.returncode == 1
    assert "BIFURK_NOTIFY_ALLOWED_HOSTS: expected a host name or a network" in ended.stderr
    assert "Traceback" not in ended.stderr
