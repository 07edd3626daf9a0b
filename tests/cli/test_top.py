"""`bifurk top`: one look into a pipe, a live table on a terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time

from bifurk_service.commands.rest import Rest
from bifurk_service.commands.top import Look
from tests.api.filling import Caller, Filled
from tests.cli.conftest import COMMAND, Run, document, environment
from tests.server import Server

SHOWN = ("tests/run", "finished", "\x1b[1;31m")
"""A run, its state, and the red that makes its critical alert stand out."""


def test_a_pipe_gets_one_look(bifurk: Run, server: Server, filled: Filled) -> None:
    Caller(server).report("top", "trains-now")
    shown = bifurk("top", "--url", server.url).stdout.splitlines()
    assert shown[0].split("\t")[:3] == ["RUN", "STATE", "STEP"]
    assert "top/trains-now\trunning" in "\n".join(shown)
    assert "tests/run\t" not in "\n".join(shown)
    every = bifurk("top", "--all", "--url", server.url).stdout
    assert "tests/run\tfinished\t50" in every


def test_json_is_one_look_too(bifurk: Run, server: Server, filled: Filled) -> None:
    seen = document(bifurk("top", "--all", "--json", "--url", server.url))
    assert {run["run"] for run in seen["runs"]} >= {"run"}
    assert all(alert["state"] == "firing" for alert in seen["alerts"])


def test_no_server_is_one_line(bifurk: Run) -> None:
    ended = bifurk("top", "--url", "http://127.0.0.1:9")
    assert ended.returncode == 1
    assert "no bifurk server answers" in ended.stderr


def test_a_terminal_shows_a_table_in_colour_until_ctrl_c(server: Server, filled: Filled) -> None:
    lead, follow = pty.openpty()
    command = [*COMMAND, "top", "--all", "--interval", "0.2", "--url", server.url]
    with subprocess.Popen(command, stdout=follow, env=environment(TERM="xterm")) as process:
        os.close(follow)
        output, deadline = "", time.monotonic() + 60
        while not all(word in output for word in SHOWN) and time.monotonic() < deadline:
            output += os.read(lead, 65536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    os.close(lead)
    assert [word for word in SHOWN if word not in output] == []


def test_speed_is_of_the_last_minute_and_begins_anew_after_a_rewind(
    server: Server, filled: Filled
) -> None:
    now = [0.0]
    look = Look(Rest(server.url), every=True, clock=lambda: now[0])
    run = {
        "id": 1,
        "project": "p",
        "run": "r",
        "state": "running",
        "overhead_ratio": None,
        "alerts": {},
        "updated_at": 0.0,
    }
    speeds = []
    for seconds, step in ((0, 0), (10, 100), (100, 1000), (110, 50), (120, 60)):
        now[0] = float(seconds)
        look._remember(1, now[0], step)
        speeds.append(look.row({**run, "last_step": step})[3])
    assert speeds == [None, "10", None, None, "1"]
