"""Notebooks, in a real IPython shell: a monitor is shown, cells are cut short and run again."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from traitlets.config import Config

import bifurk
from bifurk.capture import Capture
from bifurk.testing import FailingTransport, InMemoryTransport
from tests.client.training import new_training
from tests.server import wait_for

RERUNS = 20

SETUP = """
import torch, bifurk
from tests.client.training import new_training, train
"""
MAKE = """
model, optimizer = new_training()
monitor = bifurk.watch(model, optimizer, transport=transport, **settings)
"""
TRAIN = "train(model, optimizer, steps=3, monitor=monitor)"


class Notebook:
    """Cells of one IPython shell, and the server they talk to."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.others = {*threading.enumerate()}
        self.transport = InMemoryTransport()
        settings = {"run": "cells", "every": 1, "overhead_budget": None}
        shell.user_ns |= {"transport": self.transport, "settings": settings}
        self.run(SETUP)

    def run(self, cell: str) -> Any:
        """What the cell shows last."""
        done = self.shell.run_cell(cell, store_history=True)
        assert done.success, done.error_in_exec or done.error_before_exec
        return done.result

    def fail(self, cell: str) -> BaseException:
        """What the cell ends with."""
        done = self.shell.run_cell(cell, store_history=True)
        assert done.error_in_exec is not None
        return done.error_in_exec

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def wait_for_threads(self, *names: str) -> None:
        """Until only these of ours are there: those that end have ended."""

        def threads() -> list[str]:
            ours = (thread.name for thread in {*threading.enumerate()} - self.others)
            return sorted(name for name in ours if name.startswith("bifurk"))

        wait_for(lambda: threads() == list(names), f"{names} alone")

    def close(self) -> None:
        if "monitor" in self.shell.user_ns:
            self["monitor"].close()

    def attempts(self) -> list[tuple[str, list[str]]]:
        """Each attempt's states, in the order they arrived."""
        told: dict[str, list[str]] = {}
        for request in self.transport.requests:
            if "/parts/" not in request.path:
                told.setdefault(request.path, [])
        for request, state in zip(
            [r for r in self.transport.requests if "/parts/" not in r.path],
            self.transport.states(),
            strict=True,
        ):
            told[request.path].append(state["state"])
        return list(told.items())


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A shell as a notebook's kernel has it, without the kernel."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    for name in ("ps1", "ps2", "ps3", "last_type", "last_value", "last_traceback"):
        monkeypatch.setattr(sys, name, None, raising=False)
        monkeypatch.delattr(sys, name)
    from IPython.core.interactiveshell import InteractiveShell

    quiet = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(
        config=quiet, user_module=ModuleType("cells"), colors="nocolor"
    )
    notebook = Notebook(shell)
    yield notebook
    notebook.close()
    shell.reset(new_session=False)
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()


def test_a_cell_that_ends_with_the_monitor_shows_it(notebook: Notebook) -> None:
    notebook.run(MAKE + TRAIN + "\nassert monitor.flush()")
    shown = notebook.run("monitor")
    views, _ = notebook.shell.display_formatter.format(shown)
    assert views["text/plain"].startswith("<bifurk.Monitor default/cells: watching; step 3,")
    html = views["text/html"]
    for fact in ("default/cells", "watching", "<td>3</td>", "<td>4</td>", "none firing"):
        assert fact in html
    notebook.run("monitor.close()")
    assert "ended: finished" in notebook.run("monitor")._repr_html_()


def test_a_cell_that_is_interrupted_leaves_the_watch_as_it_was(notebook: Notebook) -> None:
    notebook.run(MAKE)
    interrupted = """
def stop(step):
    if step == 2:
        raise KeyboardInterrupt
train(model, optimizer, each_step=stop)
"""
    assert isinstance(notebook.fail(interrupted), KeyboardInterrupt)
    notebook.run(TRAIN)
    notebook.run("monitor.close()")
    assert [part.manifest.step for part in notebook.transport.parts()] == [0, 1, 2, 3, 4, 5]
    assert [states for _, states in notebook.attempts()] == [["running", "finished"]]


@pytest.mark.parametrize("when", ["before anything is read", "after it was read"])
def test_an_interrupt_inside_of_ours_costs_that_snapshot_alone(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    notebook.run(MAKE)
    real = Capture.take
    steps = iter(range(100))

    def take(self: Capture, **wanted: Any) -> Any:
        early = when.startswith("before")
        number = next(steps)
        if number == 2 and early:
            raise KeyboardInterrupt
        snapshot = real(self, **wanted)
        if number == 2:
            assert snapshot is not None
            snapshot.release()
            raise KeyboardInterrupt
        return snapshot

    monkeypatch.setattr(Capture, "take", take)
    assert isinstance(notebook.fail(TRAIN), KeyboardInterrupt)
    notebook.run(TRAIN)
    notebook.run("monitor.close()")
    assert [part.manifest.step for part in notebook.transport.parts()] == [0, 1, 3, 4, 5]
    assert notebook.transport.parts()[-1].manifest.loss_report.lost_sequences == ((2, 2),)


KEPT = {
    "nothing keeps the old ones": MAKE + TRAIN,
    "Out keeps the optimizer": MAKE + TRAIN + "\noptimizer",
    "a scheduler makes a cycle": MAKE
    + "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)\n"
    + TRAIN,
    "a callable keeps the optimizer": MAKE
    + "keeper = optimizer\nmonitor.on_alert(lambda alert, kept=optimizer: None)\n"
    + TRAIN,
}


@pytest.mark.parametrize("cell", KEPT.values(), ids=KEPT)
def test_a_cell_that_is_run_again_begins_a_new_attempt_and_leaks_nothing(
    notebook: Notebook, cell: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(RERUNS):
        notebook.run(cell)
        heard = ["bifurk-alerts"] if "on_alert" in cell else []
        notebook.wait_for_threads(*heard, "bifurk-encode", "bifurk-send")
    notebook.run("monitor.close()")
    notebook.wait_for_threads()
    attempts = notebook.attempts()
    assert len(attempts) == RERUNS
    assert [states for _, states in attempts] == [["running", "finished"]] * RERUNS
    states = [state["state"] for state in notebook.transport.states()]
    assert states == ["running", "finished"] * RERUNS, "one ends before the next begins"
    parts = [part.manifest for part in notebook.transport.parts()]
    assert [part.step for part in parts] == [0, 1, 2, 3] * RERUNS
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


def test_an_error_in_a_cell_keeps_the_old_one_alive_until_the_cell_runs_again(
    notebook: Notebook,
) -> None:
    cell = """
def main():
    model, optimizer = new_training()
    monitor = bifurk.watch(model, optimizer, transport=transport, **settings)
    train(model, optimizer, steps=1)
    return monitor, optimizer, 1 / trained
"""
    notebook.run(cell + "trained = 0")
    assert isinstance(notebook.fail("main()"), ZeroDivisionError)
    notebook.wait_for_threads("bifurk-encode", "bifurk-send")
    notebook.run("trained = 1\nmonitor, kept, _ = main()\nassert monitor.flush()")
    notebook.wait_for_threads("bifurk-encode", "bifurk-send")
    assert [states for _, states in notebook.attempts()] == [["running", "finished"], ["running"]]


def test_the_watch_that_made_room_says_so(notebook: Notebook) -> None:
    notebook.run(MAKE + "kept = optimizer\nfirst = monitor")
    notebook.run(MAKE)
    assert notebook["first"].closed
    assert "another watch of this run has begun" in repr(notebook["first"])
    assert notebook["monitor"] is not notebook["first"]


def test_the_same_optimizer_watched_again_is_the_same_monitor_without_a_word(
    notebook: Notebook, caplog: pytest.LogCaptureFixture
) -> None:
    notebook.run(MAKE + "first = monitor")
    again = "monitor = bifurk.watch(model, optimizer, transport=transport, **settings)"
    for _ in range(3):
        notebook.run(again)
    assert notebook["monitor"] is notebook["first"]
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
    notebook.run("monitor.close()")
    assert [states for _, states in notebook.attempts()] == [["running", "finished"]]


def test_other_runs_go_on_beside_it(notebook: Notebook) -> None:
    notebook.run(MAKE + "first, kept = monitor, optimizer")
    notebook.run(MAKE.replace("**settings", '**{**settings, "run": "other"}'))
    assert not notebook["first"].closed
    notebook["first"].close()


def test_in_a_script_two_watches_of_one_run_are_what_was_written() -> None:
    settings: dict[str, Any] = {"run": "twice", "transport": InMemoryTransport()}
    model, optimizer = new_training()
    other_model, other_optimizer = new_training()
    with (
        bifurk.watch(model, optimizer, **settings) as first,
        bifurk.watch(other_model, other_optimizer, **settings),
    ):
        assert not first.closed  # type: ignore[attr-defined]


@pytest.mark.parametrize("when", ["before the watch", "while it watches"])
def test_an_error_in_a_cell_is_not_the_end_of_the_run(notebook: Notebook, when: str) -> None:
    if when == "before the watch":
        notebook.fail("1 / 0")
        notebook.run(MAKE)
    else:
        notebook.run(MAKE)
        notebook.fail("1 / 0")
    assert isinstance(sys.last_value, ZeroDivisionError)
    notebook.run(TRAIN)
    notebook["monitor"]._process_end._at_exit()
    assert [states for _, states in notebook.attempts()] == [["running", "finished"]]


def test_a_server_that_hangs_keeps_a_cell_no_longer_than_an_exit(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bifurk.session.EXIT_SECONDS", 0.2)
    notebook.shell.user_ns["transport"] = FailingTransport("hangs")
    notebook.run(MAKE + TRAIN + "\nkept = optimizer")
    notebook.run("transport.release()\n" + MAKE + TRAIN)
    assert notebook["monitor"].step == 3
