"""`bifurk doctor`: what is well, what is not, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from sqlalchemy import delete

from bifurk.losses import LossLedger
from bifurk.spool import open_spool
from bifurk.transport import Request
from bifurk_service.commands.doctor import (
    Finding,
    Severity,
    connection,
    examine,
    machine,
    training,
)
from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Snapshot
from bifurk_service.store.receipts import BlobReceipt, receive_part
from tests.cli.between import Between, between
from tests.cli.conftest import Run, document
from tests.database import fresh_database
from tests.parts import make_part
from tests.ports import own_port
from tests.server import Server

CHECKS = [
    "variables", "data folder", "filesystem", "schema", "blobs", "tokens", "port", "clock", "disk",
    "open files", "alerts",
]  # fmt: skip


def by_check(findings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in findings}


@pytest.fixture
def free_port() -> str:
    return str(own_port())


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


def found(settings: Settings, check: str) -> Finding:
    [finding] = [finding for finding in examine(settings) if finding.check == check]
    return finding


def is_well(finding: Finding) -> bool:
    return finding.severity is Severity.OK


def test_a_folder_under_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = found(Settings(data_dir=tmp_path / "file" / "data", port=0), "data folder")
    assert finding.severity is Severity.PROBLEM
    assert "BIFURK_DATA_DIR" in finding.advice


def test_sqlite_on_a_network_filesystem_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "network_filesystem", lambda _path: "nfs4")
    settings = Settings(data_dir=tmp_path, port=0)
    assert not is_well(found(settings, "filesystem"))
    on_postgres = Settings(data_dir=tmp_path, port=0, database_url="postgresql://nowhere/x")
    assert is_well(machine.filesystem(on_postgres))


def test_a_clock_in_the_past_or_apart_from_the_disks_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    settings = Settings(data_dir=tmp_path, port=0)
    assert is_well(found(settings, "clock"))
    for seconds in (0.0, now + 3600):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        assert not is_well(machine.clock(tmp_path))


def test_a_disk_that_takes_its_time_has_no_other_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    times = iter((now - 60.0, now + 60.0))
    monkeypatch.setattr(machine, "time", SimpleNamespace(time=lambda: next(times)))
    assert is_well(machine.clock(tmp_path))


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(1 << 40, 1 << 40, 1 << 20))
    finding = found(Settings(data_dir=tmp_path, port=0), "disk")
    assert finding.severity is Severity.PROBLEM
    assert "bifurk runs rm" in finding.advice


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_ours_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert not is_well(found(Settings(data_dir=tmp_path, port=0), "data folder"))


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
    assert found["severity"] == "ok"
    assert found["found"] == "0 rules; channels: ops"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rules: [{name: one}]", "line 1: rules[0].action: field required"),
        (
            "channels: {ops: {type: webhook, url: 'http://127.0.0.1:9/hidden'}}",
            "channel ops: 127.0.0.1 is at 127.0.0.1, which is not public",
        ),
    ],
)
def test_an_alerts_file_that_is_wrong_or_leads_astray_is_a_problem(
    bifurk: Run, tmp_path: Path, free_port: str, text: str, why: str
) -> None:
    found = alerts_finding(bifurk, tmp_path, free_port, text)
    assert found["severity"] == "problem"
    assert why in found["found"]
    assert "hidden" not in found["found"]


@pytest.mark.parametrize(
    ("name", "severity", "hint"),
    [
        ("BIFURK_MEASURE_WORKER", "problem", "did you mean BIFURK_MEASURE_WORKERS?"),
        ("BIFURK_SOMETHING_QUITE_ELSE", "warning", "BIFURK_SOMETHING_QUITE_ELSE"),
        ("BIFURK_SPOOL_BYTES", "ok", "each a setting"),
    ],
)
def test_a_variable_that_no_setting_reads_is_named(
    bifurk: Run, free_port: str, name: str, severity: str, hint: str
) -> None:
    answer = bifurk("doctor", "--json", **{name: "1"}, BIFURK_PORT=free_port)
    finding = by_check(json.loads(answer.stdout))["variables"]
    assert finding["severity"] == severity
    assert hint in finding["found"]
    assert answer.returncode == (severity == "problem")


def test_a_variable_that_the_alerts_file_names_is_known(
    bifurk: Run, tmp_path: Path, free_port: str
) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text("channels: {ops: {type: webhook, url_env: BIFURK_OPS_HOOK}}")
    hook = "https://192.0.2.1/hook"
    variables = {"BIFURK_OPS_HOOK": hook, "BIFURK_ALERTS_FILE": str(file)}
    answer = bifurk("doctor", "--json", BIFURK_PORT=free_port, **variables)
    assert by_check(json.loads(answer.stdout))["variables"]["severity"] == "ok"
    assert "/hook" not in answer.stdout


def test_few_descriptors_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, severity in ((64, "problem"), (512, "warning"), (4096, "ok")):
        monkeypatch.setattr(machine.resource, "getrlimit", lambda _kind, n=limit: (n, n))
        assert machine.descriptors().severity == severity


def test_postgresql_that_does_not_answer_is_a_problem_without_its_password(
    bifurk: Run, free_port: str
) -> None:
    url = "postgresql+psycopg://bifurk:pass-word@127.0.0.1:9/bifurk"
    answer = bifurk("doctor", "--json", BIFURK_PORT=free_port, BIFURK_DATABASE_URL=url)
    finding = by_check(json.loads(answer.stdout))["database"]
    assert finding["severity"] == "problem"
    assert "BIFURK_DATABASE_URL" in finding["advice"]
    assert "pass-word" not in answer.stdout + answer.stderr


def test_blobs_that_cannot_be_written_are_a_problem(bifurk: Run, free_port: str) -> None:
    blobs = {"BIFURK_BLOB_URL": "/proc/no-such-place"}
    finding = by_check(
        json.loads(bifurk("doctor", "--json", BIFURK_PORT=free_port, **blobs).stdout)
    )
    assert finding["blobs"]["severity"] == "problem"
    answer = bifurk("doctor", "--json", BIFURK_PORT=free_port, BIFURK_BLOB_URL="memory://doctor")
    assert by_check(document(answer))["blobs"]["found"] == "one was written, read and deleted"


def test_what_waits_while_nobody_works_is_a_problem(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    database.close()
    (tmp_path / "test.db").rename(tmp_path / "bifurk.db")
    settings = Settings(data_dir=tmp_path, port=0)
    assert found(settings, "queue").found == "nothing waits"
    for age, severity in ((3600.0, Severity.PROBLEM), (10.0, Severity.OK)):
        database = Database(settings.resolved_database_url)
        with database.write() as session:
            part = make_part(0, run=f"run-{age:.0f}")
            receipt = BlobReceipt(key="k", digest="d", encoding="zstd", size_bytes=1)
            session.execute(delete(Snapshot))
            receive_part(session, part, receipt, now=time.time() - age)
        database.close()
        assert found(settings, "queue").severity is severity


def test_a_public_address_where_no_bifurk_answers_is_a_warning(
    bifurk: Run, server: Server, free_port: str
) -> None:
    for url, severity in ((server.url, "ok"), (f"http://127.0.0.1:{free_port}", "warning")):
        answer = bifurk("doctor", "--json", BIFURK_PORT=free_port, BIFURK_PUBLIC_URL=url)
        assert by_check(document(answer))["public url"]["severity"] == severity


def test_channels_are_connected_to_on_request(bifurk: Run, tmp_path: Path, free_port: str) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(f"channels: {{ops: {{type: webhook, url: 'http://127.0.0.1:{free_port}/x'}}}}")
    settings = {
        "BIFURK_PORT": "0",
        "BIFURK_ALERTS_FILE": str(file),
        "BIFURK_NOTIFY_PRIVATE_ADDRESSES": "true",
    }
    asked = json.loads(bifurk("doctor", "--channels", "--json", **settings).stdout)
    assert "takes no connection" in by_check(asked)["alerts"]["found"]
    assert bifurk("doctor", **settings).returncode == 0
    with socket.create_server(("127.0.0.1", int(free_port))):
        assert bifurk("doctor", "--channels", **settings).returncode == 0


class TestOfATraining:
    """`bifurk doctor --client`."""

    def examined(self, url: str | None, token: str | None = None) -> dict[str, Finding]:
        return {one.check: one for one in connection.findings(url, token, "tests")}

    def test_all_is_well_beside_a_server(self, bifurk: Run, server: Server, tmp_path: Path) -> None:
        spool = str(tmp_path / "spool")
        answer = bifurk("doctor", "--client", "--json", "--url", server.url, BIFURK_SPOOL_DIR=spool)
        findings = by_check(json.loads(answer.stdout))
        assert {one["severity"] for one in findings.values() if one["check"] != "threads"} == {"ok"}
        assert list(findings) == [
            "variables", "torch", "threads", "spool", "server", "versions", "clocks", "proxy",
            "token", "uploads",
        ]  # fmt: skip

    def test_the_probe_leaves_nothing_on_the_server(self, server: Server) -> None:
        self.examined(server.url)
        assert not server.get("/api/v1/runs?project=tests&run=doctor")["items"]

    def test_a_server_that_is_not_there_is_a_problem(self, free_port: str) -> None:
        found = self.examined(f"http://127.0.0.1:{free_port}")
        assert [one.severity for one in found.values()] == [Severity.PROBLEM]
        assert "does not answer" in found["server"].found

    def test_without_an_address_watches_write_to_a_folder(self) -> None:
        assert self.examined(None)["server"].severity is Severity.WARNING

    def test_something_else_at_the_address_is_told(self) -> None:
        with between(Between(status=404, body=b"<html>")) as url:
            assert "not as bifurk does" in self.examined(url)["server"].found

    @pytest.mark.parametrize(
        ("middle", "check", "said"),
        [
            ({"status": 413, "body": b"<html>"}, "uploads", "client_max_body_size"),
            ({"status": 401, "body": b"login"}, "token", "a login of its own"),
            ({"document": {"status": 401}}, "token", "bifurk token ls"),
            ({"document": {"status": 403}}, "token", "scope write"),
            ({"document": {"status": 404}}, "token", "BIFURK_PROJECT"),
            ({"document": {"status": 413}}, "uploads", "BIFURK_MAX_PART_BYTES"),
            ({"document": {"status": 422, "where": "Content-Digest"}}, "uploads", "pass bodies"),
            ({"document": {"status": 422, "where": "manifest"}}, "uploads", "got through"),
            ({"encoding": "gzip"}, "proxy", "compresses answers"),
            ({"late": 3600.0}, "clocks", "ahead of the server's"),
            ({"version": "7.0.0"}, "versions", "7.0.0 there"),
        ],
    )
    def test_what_stands_between_is_told_apart(
        self, middle: dict[str, Any], check: str, said: str
    ) -> None:
        with between(Between(**middle)) as url:
            finding = self.examined(url, "a-token")[check]
        assert said in f"{finding.found}; {finding.advice}"

    def test_what_ended_processes_left_is_told(self, tmp_path: Path) -> None:
        ledger = LossLedger()
        environment = {"BIFURK_SPOOL_DIR": str(tmp_path), "BIFURK_SPOOL_BYTES": "1000"}
        spool = open_spool(tmp_path, target="http://x", max_bytes=1000, ledger=ledger)
        assert spool.append(Request(method="PUT", path="/x", body=b"1" * 500))
        [in_use] = training.spool(environment)
        assert in_use.severity is Severity.OK
        spool.close()
        [left] = training.spool(environment)
        assert left.severity is Severity.WARNING
        assert "1 requests of 1 ended" in left.found
        assert "bifurk sync" in left.advice
        [full] = training.spool({**environment, "BIFURK_SPOOL_BYTES": "600"})
        assert full.severity is Severity.PROBLEM
        assert "BIFURK_SPOOL_BYTES" in full.advice

    def test_a_wrong_setting_is_the_one_that_watch_would_raise(self) -> None:
        [finding] = training.spool({"BIFURK_EVERY": "often"})
        assert finding.severity is Severity.PROBLEM
        assert "every" in finding.found.lower()

    def test_an_old_torch_is_a_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for version, severity in (("1.13.1", "problem"), ("2.4.0+cpu", "ok"), ("2.10.0", "ok")):
            monkeypatch.setattr(importlib.metadata, "version", lambda _name, v=version: v)
            assert training.torch_version().severity == severity

    def test_two_openmp_libraries_in_a_process_are_a_warning(self) -> None:
        one = ["/x/torch/lib/libgomp.so.1"]
        assert training.judged_pools(one).severity is Severity.OK
        two = training.judged_pools([*one, "/x/scikit_learn.libs/libgomp-a34b.so.1.0.0"])
        assert two.severity is Severity.WARNING
        assert "OMP_WAIT_POLICY" in two.advice
