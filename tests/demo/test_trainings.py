"""Trainings run as processes of their own, two at a time, and are stopped when one fails."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
from rich.console import Console

from bifurk_service.demo.processes import start_python, stop
from bifurk_service.demo.runs import DemoRun, ModularAddition
from bifurk_service.demo.trainings import TrainingFailedError, train_all
from tests.server import DEADLINE_SECONDS

TELLING_WORKER = """
import json, sys
name, url = sys.argv[1:]
for step in range(1, 4):
    print(json.dumps({"step": step, "loss": len(name) / step, "test_accuracy": None}), flush=True)
print(json.dumps({"step": 4, "loss": 0.5, "test_accuracy": 0.75}), flush=True)
"""
FAILING_WORKER = """
import sys, time
if sys.argv[1] == "bad":
    sys.exit("out of luck")
time.sleep(600)
"""


def a_run(name: str) -> DemoRun:
    return DemoRun(name=name, title=name, training=ModularAddition(steps=4), every=1)


def quiet() -> Console:
    return Console(file=io.StringIO())


@contextmanager
def child(folder: Path, code: str, **settings: str) -> Iterator[Popen[bytes]]:
    (folder / "child.py").write_text(code)
    with (folder / "child.log").open("wb") as log:
        process = start_python("-m", "child", folder=folder, log=log, settings=settings)
        try:
            yield process
        finally:
            stop(process)


def test_every_training_tells_its_losses_and_accuracies(tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text(TELLING_WORKER)
    runs = [a_run("a"), a_run("bb"), a_run("ccc")]
    records = train_all(
        runs, url="http://unused", folder=tmp_path, console=quiet(), worker="telling"
    )
    assert set(records) == {"a", "bb", "ccc"}
    assert records["bb"].losses == (2.0, 1.0, 2 / 3, 0.5)
    assert records["bb"].accuracy == ((4, 0.75),)
    assert records["bb"].generalised_step == 4


def test_a_training_that_fails_stops_the_others_and_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING_WORKER)
    with pytest.raises(TrainingFailedError, match=r"bad ended with code 1:\s+out of luck"):
        train_all(
            [a_run("endless"), a_run("bad")],
            url="http://unused",
            folder=tmp_path,
            console=quiet(),
            worker="failing",
        )


def test_a_child_gets_one_passive_thread_and_none_of_the_callers_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIFURK_URL", "http://somewhere.else")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    with child(tmp_path, code, BIFURK_PORT="1") as process:
        assert process.wait(DEADLINE_SECONDS) == 0
    environment = json.loads((tmp_path / "child.log").read_text())
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment["BIFURK_PORT"] == "1"
    assert "BIFURK_URL" not in environment


def test_stopping_a_child_that_has_ended_does_nothing(tmp_path: Path) -> None:
    with child(tmp_path, "") as process:
        process.wait(DEADLINE_SECONDS)
        stop(process)
        assert process.returncode == 0


def test_a_running_child_is_ended(tmp_path: Path) -> None:
    with child(tmp_path, "import time; time.sleep(600)") as process:
        stop(process)
        assert process.returncode != 0
