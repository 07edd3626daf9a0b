"""`bifurk open`: an offline training, imported and shown, its files left as they are."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bifurk.losses import LossLedger
from bifurk.spool import Spool
from bifurk.spool_folder import new_folder_name
from bifurk.transport import Request
from bifurk.wire import AttemptReport, Part, content_digest, encode, encode_attempt
from tests.api.filling import BROKEN_AT, SNAPSHOTS, Caller, broken_part
from tests.cli.conftest import COMMAND, Run, environment
from tests.parts import address
from tests.server import Server, wait_for


def record(folder: Path) -> None:
    """What an offline client leaves of a run: its parts and its last report, as requests."""
    spool = Spool(folder / new_folder_name(), max_bytes=None, ledger=LossLedger())
    for sequence in range(SNAPSHOTS):
        part = broken_part(sequence)
        spool.append(part_request(part))
    body = encode_attempt(AttemptReport(state="finished"))
    spool.append(
        Request(method="PUT", path=address(part.manifest).partition("/snapshots")[0], body=body)
    )
    spool.close()


def part_request(part: Part) -> Request:
    body = encode(part)
    return Request(
        method="PUT",
        path=address(part.manifest),
        headers={"Content-Encoding": "zstd", "Content-Digest": content_digest(body)},
        body=body,
        sequence=part.manifest.sequence,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(tmp_path / "bifurk")
    return tmp_path / "bifurk"


def files(folder: Path) -> dict[Path, bytes]:
    """What lies in a folder, but for the server's own."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".bifurk-server" not in path.parts
    }


def test_it_imports_judges_and_tells(bifurk_process: Run, folder: Path) -> None:
    before = files(folder)
    opened = bifurk_process("open", "--exit")
    assert opened.returncode == 0, opened.stderr
    assert "tests/run: 6 of 6 snapshots judged, 1 alerts" in opened.stdout
    assert re.search(rf"critical: run: .* seen at {BROKEN_AT * 10}", opened.stdout)
    assert files(folder) == before


def test_opened_again_it_shows_the_same_once(bifurk_process: Run, folder: Path) -> None:
    first, second = (bifurk_process("open", str(folder), "--exit") for _ in range(2))
    assert first.returncode == second.returncode == 0
    summary = [line for line in first.stdout.splitlines() if line.startswith("tests/run")]
    assert summary
    assert summary == [line for line in second.stdout.splitlines() if line.startswith("tests/run")]


def test_settings_of_other_servers_do_not_reach_it(
    bifurk_process: Run, folder: Path, tmp_path: Path
) -> None:
    opened = bifurk_process(
        "open", "--exit",
        BIFURK_DATABASE_URL="postgresql://nowhere/x", BIFURK_DATA_DIR=str(tmp_path / "elsewhere"),
        BIFURK_HOST="0.0.0.0", BIFURK_URL="http://127.0.0.1:9", BIFURK_TOKEN="nonsense",
    )  # fmt: skip
    assert opened.returncode == 0, opened.stderr
    assert not (tmp_path / "elsewhere").exists()


def test_an_empty_folder_says_so(bifurk_process: Run, tmp_path: Path) -> None:
    (tmp_path / "bifurk").mkdir()
    opened = bifurk_process("open", "--exit")
    assert opened.returncode == 0
    assert "there is nothing to import in bifurk" in opened.stdout


def test_a_damaged_file_is_counted_and_the_rest_imported(bifurk_process: Run, folder: Path) -> None:
    damaged = sorted(path for path in files(folder) if path.suffix == ".request")[2]
    damaged.write_bytes(damaged.read_bytes()[:-10])
    opened = bifurk_process("open", "--exit", BIFURK_PART_TIMEOUT_SECONDS="0.5")
    assert opened.returncode == 0, opened.stderr
    assert "1 files are damaged or refused" in opened.stdout
    assert "5 of 5 snapshots judged" in opened.stdout


@pytest.fixture
def opened(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = (folder.parent / "log").open("wb")
    process = subprocess.Popen(
        [*COMMAND, "open", str(folder), "--no-browser"], stdout=log, stderr=log,
        env=environment(PYTHONUNBUFFERED="1"),
    )  # fmt: skip
    yield process
    process.kill()
    process.wait()
    log.close()


def test_it_serves_until_interrupted(opened: subprocess.Popen[bytes], folder: Path) -> None:
    log = folder.parent / "log"
    found = wait_for(
        lambda: re.search(r"serving (\S+) until Ctrl-C", log.read_text()), "the import's end"
    )
    caller = Caller(ServerAt(found[1]))
    assert caller.run_id("tests", "run") == 1
    opened.send_signal(signal.SIGINT)
    assert opened.wait(timeout=60) == 0
    assert "bifurk has stopped" in log.read_text()


class ServerAt(Server):
    """A server that somebody else started."""

    def __init__(self, url: str) -> None:
        self.url = url
