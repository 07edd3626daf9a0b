"""`bifurk report` against a running server."""

from __future__ import annotations

import os
from pathlib import Path

from tests.api.filling import Filled
from tests.cli.conftest import Run
from tests.server import Server


def test_a_run_is_written_as_one_file(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    answer = bifurk("report", "tests/run", "-o", "run.html", "--url", server.url)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("wrote run.html (")
    text = (tmp_path / "run.html").read_text()
    assert text.lstrip().startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    assert f'href="{server.url}/runs/{filled.run}"' in text
    assert [path.name for path in tmp_path.iterdir()] == ["run.html"]


def test_without_a_name_it_is_called_report(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    assert bifurk("report", str(filled.run), BIFURK_URL=server.url).returncode == 0
    assert (tmp_path / "report.html").exists()


def test_a_file_that_is_there_is_replaced_only_by_force(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    kept = tmp_path / "report.html"
    kept.write_text("before")
    refused = bifurk("report", "tests/run", "--url", server.url)
    assert refused.returncode == 1
    assert refused.stderr.strip() == ("bifurk: report.html is there already; --force replaces it")
    assert kept.read_text() == "before"
    forced = bifurk("report", "tests/run", "--force", "--stat", "rms", "--url", server.url)
    assert forced.returncode == 0, forced.stderr
    assert "rms, change since its first value" in kept.read_text()


def test_a_pipe_or_a_folder_is_not_replaced_even_by_force(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        refused = bifurk("report", "tests/run", "-o", name, "--force", "--url", server.url)
        assert refused.returncode == 1
        assert f"{name} is no regular file" in refused.stderr
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


def test_what_goes_wrong_is_one_line_and_leaves_nothing(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    for arguments, said in (
        (["nowhere"], "no run 'nowhere'"),
        (["tests/run", "--stat", "no-such"], "no statistic 'no-such'"),
        (["tests/run", "-o", "nowhere/run.html"], "cannot be written"),
    ):
        answer = bifurk("report", *arguments, "--url", server.url)
        assert answer.returncode == 1
        [line] = answer.stderr.strip().splitlines()
        assert said in line
    assert bifurk("report", "run", "--url", "http://127.0.0.1:9").returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_when_a_report_fails(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text("before")
    failed = bifurk("report", "run", "--force", "--stat", "no-such", "--url", server.url)
    assert failed.returncode == 1
    assert (tmp_path / "report.html").read_text() == "before"
