"""``python -m bifurk sync``: what folders hold goes to a real server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bifurk.__main__ import main
from bifurk.folder_holds import FolderHolds
from bifurk.folder_lock import FolderLock
from bifurk.losses import LossLedger
from bifurk.record import frames, write_record
from bifurk.spool import Spool, open_spool
from bifurk.spool_folder import records
from bifurk.sync import Summary, sync
from bifurk.testing import FailingTransport, InMemoryTransport
from bifurk.transport import Request, Response, TransportError
from tests.client.loopback import Loopback, answers, hangs, serving
from tests.server import DEADLINE_SECONDS


def part(name: str) -> Request:
    path = f"/api/v1/projects/p/runs/r/attempts/a1/snapshots/{name}/parts/0"
    return Request(method="PUT", path=path, body=name.encode(), sequence=0)


def ranks_part(attempt: str, sequence: int, rank: int) -> Request:
    path = f"/api/v1/projects/p/runs/r/attempts/{attempt}/snapshots/{sequence}/parts/{rank}"
    body = f"{attempt}/{sequence}/{rank}".encode()
    return Request(method="PUT", path=path, body=body, sequence=sequence)


def report(attempt: str) -> Request:
    path = f"/api/v1/projects/p/runs/r/attempts/{attempt}"
    return Request(method="PUT", path=path, body=f"end {attempt}".encode())


def record(folder: Path, *names: str, target: str | None = None) -> Path:
    """A folder such as an offline run or, with a target, a dead process leaves."""
    spool = Spool(folder, max_bytes=None, ledger=LossLedger(), target=target)
    for name in names:
        assert spool.append(part(name))
    spool.close()
    return folder


def arrived(server: Loopback) -> list[str]:
    return [received.body.decode() for received in server.received()]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BIFURK_")]:
        monkeypatch.delenv(name)


class TestCommand:
    def test_all_under_a_folder_is_sent_in_order_and_deleted(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record(tmp_path / "p" / "r" / "a1", "1", "2", "3")
        record(tmp_path / "p" / "r" / "a2", "4")
        record(tmp_path / "p" / "r" / "a1" / "rank", "5")
        with serving() as server:
            code = main(["sync", str(tmp_path), "--url", server.url, "--token", "secret"])
            received = server.received(5)
        assert code == 0
        assert arrived(server) == ["1", "2", "3", "5", "4"]
        assert {one.headers["Authorization"] for one in received} == {"Bearer secret"}
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        output = capsys.readouterr().out
        assert output.endswith("sent 5, refused 0, left 0\n")
        assert "a1: 3 of 3\n" in output

    def test_folders_of_one_attempts_ranks_are_sent_side_by_side(self, tmp_path: Path) -> None:
        for rank in range(2):
            spool = Spool(tmp_path / f"r{rank}", max_bytes=None, ledger=LossLedger())
            for attempt, lost in (("b1", rank), ("b1.2", 9)):
                for sequence in [one for one in range(3) if one != lost]:
                    assert spool.append(ranks_part(attempt, sequence, rank))
                assert spool.append(report(attempt))
            spool.close()
        record(tmp_path / "s", "9")
        with serving() as server:
            assert main(["sync", str(tmp_path), "--url", server.url]) == 0
        assert [one for one in arrived(server) if one.startswith("b1")] == [
            "b1/0/1", "b1/1/0", "b1/2/0", "b1/2/1",
            "b1.2/0/0", "b1.2/0/1", "b1.2/1/0", "b1.2/1/1", "b1.2/2/0", "b1.2/2/1",
        ]  # fmt: skip
        assert arrived(server)[-1] == "9"

    def test_url_and_token_come_from_the_environment_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record(tmp_path / "a", "1")
        with serving() as server:
            monkeypatch.setenv("BIFURK_URL", server.url)
            monkeypatch.setenv("BIFURK_TOKEN", "from outside")
            assert main(["sync", str(tmp_path)]) == 2
            monkeypatch.setenv("BIFURK_TOKEN", "from-outside")
            assert main(["sync", str(tmp_path)]) == 0
            [received] = server.received(1)
        assert received.headers["Authorization"] == "Bearer from-outside"

    def test_a_spool_knows_where_its_requests_belong(self, tmp_path: Path) -> None:
        with serving() as server:
            record(tmp_path / "dead", "1", target=server.url)
            assert main(["sync", str(tmp_path)]) == 0
            assert arrived(server) == ["1"]
        assert list(tmp_path.iterdir()) == []

    def test_kept_files_are_sent_again_without_harm(self, tmp_path: Path) -> None:
        folder = record(tmp_path / "a", "1", "2")
        with serving(answers(201), answers(201), answers(200), answers(200)) as server:
            for _ in range(2):
                assert main(["sync", str(tmp_path), "--url", server.url, "--keep"]) == 0
            assert arrived(server) == ["1", "2", "1", "2"]
        assert len(records(folder)) == 2

    def test_refused_requests_stay_and_the_rest_goes_on(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = record(tmp_path / "a", "1", "2", "3", "4")
        records(folder)[3].write_bytes(b"damaged")
        bad = answers(422, b'{"detail": "bad manifest"}')
        with serving(bad, answers(409, b"another body"), answers(201)) as server:
            assert main(["sync", str(tmp_path), "--url", server.url]) == 1
            assert arrived(server) == ["1", "2", "3"]
        assert len(records(folder)) == 3
        output = capsys.readouterr().out
        assert "refused (422): bad manifest" in output
        assert "refused (409): another body" in output
        assert output.endswith("sent 1, refused 3, left 0\n")

    def test_the_token_goes_to_no_server_that_only_a_file_names(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("BIFURK_TOKEN", "secret")
        with serving() as server, serving() as named:
            record(tmp_path / "dead", "1", target=server.url)
            assert main(["sync", str(tmp_path), "--keep"]) == 0
            assert main(["sync", str(tmp_path), "--url", named.url]) == 0
            [unnamed] = server.received(1)
            [trusted] = named.received(1)
        assert "Authorization" not in unnamed.headers
        assert trusted.headers["Authorization"] == "Bearer secret"
        assert f"the token is not sent to {server.url}" in capsys.readouterr().out

    def test_another_user_s_folder_is_left_alone_and_that_is_said(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        folder = record(tmp_path / "a", "1", "2")
        monkeypatch.setattr("bifurk.spool_folder.os.geteuid", lambda: os.getuid() + 1)
        with serving() as server:
            assert main(["sync", str(tmp_path), "--url", server.url]) == 1
            assert arrived(server) == []
        assert len(records(folder)) == 2
        output = capsys.readouterr().out
        assert f"{folder}: belongs to another user, left alone\n" in output
        assert output.endswith("sent 0, refused 0, left 2\n")

    def test_a_forged_request_is_refused_here_and_the_rest_goes_on(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = record(tmp_path / "a", "1", "2")
        forged = Request(method="DELETE", path="/api/v1/runs/1", headers={"X": "a\r\nb"})
        write_record(records(folder)[0], frames(forged))
        with serving() as server:
            assert main(["sync", str(tmp_path), "--url", server.url]) == 1
            assert arrived(server) == ["2"]
        assert "method PUT expected" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("status", "advice"),
        [(401, "BIFURK_TOKEN"), (403, "BIFURK_TOKEN"), (404, "BIFURK_URL"), (405, "BIFURK_URL")],
    )
    def test_a_shut_door_stops_it_at_once_with_all_in_place(
        self, tmp_path: Path, status: int, advice: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = record(tmp_path / "a", "1", "2")
        with serving(answers(status, b"who are you?")) as server:
            assert main(["sync", str(tmp_path), "--url", server.url]) == 2
            assert arrived(server) == ["1"]
        assert len(records(folder)) == 2
        captured = capsys.readouterr()
        assert captured.out.endswith("sent 0, refused 0, left 2\n")
        assert f"({status}): " in captured.err
        assert advice in captured.err
        assert captured.err.endswith(": who are you?\n")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["sync", "{folder}"], "--url"),
            (["sync", "{folder}", "--url", "ftp://host"], "url"),
            (["sync", "{folder}/nowhere", "--url", "http://host"], "not a folder"),
        ],
    )
    def test_what_cannot_start_says_why(
        self,
        tmp_path: Path,
        arguments: list[str],
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        record(tmp_path / "a", "1")
        assert main([argument.format(folder=tmp_path) for argument in arguments]) == 2
        assert message in capsys.readouterr().err

    def test_an_empty_folder_is_no_error(self, tmp_path: Path) -> None:
        assert main(["sync", str(tmp_path), "--url", "http://127.0.0.1:9"]) == 0

    def test_a_running_process_keeps_its_spool_but_can_be_copied_from(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with serving() as server:
            living = open_spool(tmp_path, target=server.url, max_bytes=1 << 20, ledger=LossLedger())
            living.append(part("1"))
            assert main(["sync", str(tmp_path)]) == 1
            assert arrived(server) == []
            assert "in use" in capsys.readouterr().out
            assert main(["sync", str(tmp_path), "--keep"]) == 0
            assert arrived(server) == ["1"]
            assert living.pending() == 1
            living.close()

    def test_it_goes_on_where_an_interrupt_stopped_it(self, tmp_path: Path) -> None:
        folder = record(tmp_path / "a", "1", "2", "3")
        command = [sys.executable, "-m", "bifurk", "sync", str(tmp_path)]
        with serving(answers(201), hangs) as server:
            process = subprocess.Popen(
                [*command, "--url", server.url],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            server.received(2)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 2
        assert "interrupted" in errors
        assert "Traceback" not in errors
        assert len(records(folder)) == 2
        with serving() as server:
            done = subprocess.run(
                [*command, "--url", server.url], check=True, timeout=DEADLINE_SECONDS
            )
            assert done.returncode == 0
            assert arrived(server) == ["2", "3"]

    def test_it_needs_neither_torch_nor_the_services_packages(self) -> None:
        code = (
            "import sys, bifurk.__main__;"
            "heavy = {'torch', 'fastapi', 'sqlalchemy', 'typer', 'bifurk_service'};"
            "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE_SECONDS)


class TestManyRanks:
    RANKS = 24

    @pytest.fixture
    def ranks(self, tmp_path: Path) -> list[Path]:
        folders = []
        for rank in range(self.RANKS):
            folders.append(tmp_path / f"r{rank:02}")
            spool = Spool(folders[-1], max_bytes=None, ledger=LossLedger())
            for sequence in range(2):
                assert spool.append(ranks_part("b1", sequence, rank))
            spool.close()
        return folders

    @pytest.fixture(autouse=True)
    def _few_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bifurk.sync.FolderHolds", partial(FolderHolds, most=4))

    @pytest.fixture
    def _few_files(self) -> Iterator[None]:
        """Leaves twelve descriptors, wherever the free numbers lie among those in use."""
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = [os.open(os.devnull, os.O_RDONLY) for _ in range(12)]
        for descriptor in free:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, hard))
        yield
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    @pytest.mark.usefixtures("_few_files")
    def test_more_ranks_than_files_may_be_open_are_sent_side_by_side(
        self, tmp_path: Path, ranks: list[Path]
    ) -> None:
        transport = InMemoryTransport()
        summary = sync(tmp_path, connect=lambda _: transport, report=lambda _: None)
        assert summary == Summary(sent=2 * self.RANKS, refused=0, left=0)
        assert [one.body.decode() for one in transport.requests] == [
            f"b1/{sequence}/{rank}" for sequence in range(2) for rank in range(self.RANKS)
        ]
        assert not any(folder.exists() for folder in ranks)

    def test_a_folder_that_another_process_takes_meanwhile_is_left_to_it(
        self, tmp_path: Path, ranks: list[Path]
    ) -> None:
        taken: list[FolderLock] = []

        class Taking(InMemoryTransport):
            def send(self, request: Request, *, deadline_seconds: float) -> Response:
                if request == ranks_part("b1", 0, 9):
                    taken.append(FolderLock(ranks[0] / "lock"))
                    shutil.rmtree(ranks[1])
                return super().send(request, deadline_seconds=deadline_seconds)

        transport, said = Taking(), list[str]()
        summary = sync(tmp_path, connect=lambda _: transport, report=said.append)
        taken[0].release()
        assert summary == Summary(sent=2 * self.RANKS - 2, refused=0, left=2)
        assert len(records(ranks[0])) == 1
        assert [line for line in said if "taken" in line or "in use" in line] == [
            f"{ranks[0]}: in use by a running training, left alone",
            f"{ranks[1]}: gone meanwhile, another process has taken it over",
        ]


class TestPatience:
    def test_a_server_in_trouble_is_tried_again(self, tmp_path: Path) -> None:
        record(tmp_path / "a", "1", "2")
        transport = InMemoryTransport([503, TransportError("cut off"), 429])
        summary = sync(tmp_path, connect=lambda _: transport, report=lambda _: None)
        assert summary == Summary(sent=2, refused=0, left=0)
        assert transport.requests == [part("1")] * 4 + [part("2")]

    @pytest.mark.parametrize("how", ["refuses", 503])
    def test_a_server_that_stays_away_stops_it_with_all_in_place(
        self, tmp_path: Path, how: object
    ) -> None:
        folder = record(tmp_path / "a", "1", "2")
        transport = FailingTransport(how)  # type: ignore[arg-type]
        summary = sync(
            tmp_path, connect=lambda _: transport, report=lambda _: None, patience_seconds=0.2
        )
        assert (summary.sent, summary.left, summary.exit_code) == (0, 2, 2)
        assert summary.stopped is not None
        assert len(records(folder)) == 2

    def test_what_arrives_damaged_every_time_holds_up_nothing_else(self, tmp_path: Path) -> None:
        folder = record(tmp_path / "a", "1", "2")
        again = Response(status=422, headers={"retry-after": "1"}, body=b'{"detail": "digest"}')
        transport = InMemoryTransport([again])
        said: list[str] = []
        summary = sync(
            tmp_path, connect=lambda _: transport, report=said.append, patience_seconds=0.2
        )
        assert summary == Summary(sent=1, refused=1, left=0)
        assert transport.requests == [part("1"), part("2")]
        assert any("refused (422): digest" in line for line in said)
        assert len(records(folder)) == 1


def test_files_of_other_kinds_are_left_alone(tmp_path: Path) -> None:
    folder = record(tmp_path / "a", "1")
    (folder / "notes.txt").write_text("mine")
    write_record(folder / "unnumbered.request", frames(part("no")))
    transport = InMemoryTransport()
    sync(tmp_path, connect=lambda _: transport, report=lambda _: None)
    assert transport.requests == [part("1")]
    assert {path.name for path in folder.iterdir()} >= {"notes.txt", "unnumbered.request"}
