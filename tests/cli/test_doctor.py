"""`bifurk doctor`: what is well, what is not, and what to do about it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bifurk_service.commands import doctor
from bifurk_service.settings import Settings
from tests.cli.conftest import Run, document
from tests.server import Server

CHECKS = ["data folder", "filesystem", "schema", "port", "clock", "disk", "tokens", "alerts"]


def by_check(findings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in findings}


@pytest.fixture
def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_a_fresh_machine_is_well(bifurk: Run, free_port: str) -> None:
    answer = bifurk("doctor", BIFURK_PORT=free_port)
    assert answer.returncode == 0, answer.stdout
    lines = answer.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert len(lines) == len(CHECKS)


def test_it_changes_nothing(bifurk: Run, tmp_path: Path, free_port: str) -> None:
    findings = document(bifurk("doctor", "--json", BIFURK_PORT=free_port))
    assert [finding["check"] for finding in findings] == CHECKS
    assert list(tmp_path.iterdir()) == []


def test_its_own_server_on_the_port_is_well(bifurk: Run, server: Server) -> None:
    port = server.url.rpartition(":")[2]
    findings = document(
        bifurk("doctor", "--json", BIFURK_PORT=port, BIFURK_DATA_DIR=str(server.data_dir))
    )
    assert "a bifurk server runs" in by_check(findings)["port"]["found"]
    assert "this version's" in by_check(findings)["schema"]["found"]


def test_a_port_that_another_program_has_is_a_problem(bifurk: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = bifurk("doctor", BIFURK_PORT=str(taken.getsockname()[1]))
    assert answer.returncode == 1
    [line] = [line for line in answer.stdout.splitlines() if line.startswith("PROBLEM")]
    assert "set BIFURK_HOST or BIFURK_PORT" in line


def test_an_address_open_to_others_needs_a_token(bifurk: Run, free_port: str) -> None:
    answer = bifurk("doctor", BIFURK_HOST="0.0.0.0", BIFURK_PORT=free_port)
    assert answer.returncode == 1
    assert "bifurk token create" in answer.stdout
    bifurk("token", "create", "person")
    assert bifurk("doctor", BIFURK_HOST="0.0.0.0", BIFURK_PORT=free_port).returncode == 0


def test_a_file_that_is_no_database_is_a_problem(
    bifurk: Run, tmp_path: Path, free_port: str
) -> None:
    (tmp_path / "bifurk.db").write_bytes(b"not a database " * 100)
    answer = bifurk("doctor", BIFURK_DATA_DIR=".", BIFURK_PORT=free_port)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert "cannot be used" in answer.stdout


def found(settings: Settings, check: str) -> doctor.Finding:
    [finding] = [finding for finding in doctor.examine(settings) if finding.check == check]
    return finding


def test_a_folder_under_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = found(Settings(data_dir=tmp_path / "file" / "data", port=0), "data folder")
    assert not finding.ok
    assert "BIFURK_DATA_DIR" in finding.found


def test_sqlite_on_a_network_filesystem_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "network_filesystem", lambda _path: "nfs4")
    settings = Settings(data_dir=tmp_path, port=0)
    assert not found(settings, "filesystem").ok
    on_postgres = Settings(data_dir=tmp_path, port=0, database_url="postgresql://nowhere/x")
    assert doctor._filesystem(on_postgres).ok


def test_a_clock_in_the_past_or_apart_from_the_disks_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    settings = Settings(data_dir=tmp_path, port=0)
    assert found(settings, "clock").ok
    for seconds in (0.0, now + 3600):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        assert not found(settings, "clock").ok


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(1 << 40, 1 << 40, 1 << 20))
    finding = found(Settings(data_dir=tmp_path, port=0), "disk")
    assert not finding.ok
    assert "bifurk runs rm" in finding.found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_ours_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert not found(Settings(data_dir=tmp_path, port=0), "data folder").ok


def alerts_finding(bifurk: Run, tmp_path: Path, port: str, text: str, **more: str) -> Any:
    file = tmp_path / "alerts.yaml"
    file.write_text(text)
    answer = bifurk("doctor", "--json", BIFURK_PORT=port, BIFURK_ALERTS_FILE=str(file), **more)
    return by_check(json.loads(answer.stdout))["alerts"]


def test_an_alerts_file_that_is_right_is_well(bifurk: Run, tmp_path: Path, free_port: str) -> None:
    text = "channels: {ops: {type: webhook, url: 'http://127.0.0.1:9/hidden'}}"
    found = alerts_finding(
        bifurk, tmp_path, free_port, text, BIFURK_NOTIFY_PRIVATE_ADDRESSES="true"
    )
    assert found["ok"]
    assert found["found"] == "0 rules; channels: ops"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{name: one}]", "line 1: rules[0].action: field required"),
        (
            "channels: {ops: {type: webhook, url: 'http://127.0.0.1:9/hidden'}}",
            "channel ops: 127.0.0.1 is at 127.0.0.1, which is not public",
        ),
    ],
)
def test_an_alerts_file_that_is_wrong_or_leads_astray_is_a_problem(
    bifurk: Run, tmp_path: Path, free_port: str, text: str, said: str
) -> None:
    found = alerts_finding(bifurk, tmp_path, free_port, text)
    assert not found["ok"]
    assert said in found["found"]
    assert "hidden" not in found["found"]
