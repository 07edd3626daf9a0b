"""Trains the demo's runs, each in a process of its own, and follows their progress."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bifurk_service.demo.facts import TrainingRecord
from bifurk_service.demo.processes import start_python, stop
from bifurk_service.demo.runs import DemoRun

WORKER: Final = "bifurk_service.demo.worker"

AT_ONCE: Final = 2
"""Trainings side by side: on two cores the whole demo takes less time than one after the other."""
_POLL_SECONDS: Final = 0.1
_LOG_TAIL_CHARACTERS: Final = 2_000


class TrainingFailedError(RuntimeError):
    """A training process ended with an error; the message holds the end of its log."""


def train_all(
    runs: Sequence[DemoRun],
    *,
    url: str,
    folder: Path,
    console: Console,
    at_once: int = AT_ONCE,
    worker: str = WORKER,
) -> dict[str, TrainingRecord]:
    """Trains every run through the hook, with a progress bar each.

    Args:
        runs: in the order to start them.
        url: of the server.
        folder: exists; gets what each training tells (``NAME.jsonl``) and its log.
        console: shows the bars.
        at_once: how many train side by side, at least 1.
        worker: the module whose process is a training.

    Returns:
        What each training told of itself, by the run's name.

    Raises:
        TrainingFailedError: one ended with an error; the others are stopped.
    """
    waiting = list(runs)
    running: list[_Training] = []
    records: dict[str, TrainingRecord] = {}
    with ExitStack() as stack, _bars(console) as bars:
        tasks = {run.name: bars.add_task(run.title, total=run.steps, start=False) for run in runs}
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(stack.enter_context(_Training(waiting.pop(0), url, folder, worker)))
                bars.start_task(tasks[running[-1].run.name])
            time.sleep(_POLL_SECONDS)
            for training in list(running):
                ended = training.follow()
                bars.update(tasks[training.run.name], completed=training.steps_done)
                if ended:
                    running.remove(training)
                    bars.stop_task(tasks[training.run.name])
                    records[training.run.name] = training.record()
    return records


class _Training:
    """One training process and what it has written so far."""

    def __init__(self, run: DemoRun, url: str, folder: Path, worker: str) -> None:
        self.run = run
        self.steps_done = 0
        self._losses: list[float] = []
        self._accuracy: list[tuple[int, float]] = []
        self._unread = ""
        self._log_path = folder / f"{run.name}.log"
        self._files = ExitStack()
        output = self._files.enter_context((folder / f"{run.name}.jsonl").open("wb"))
        log = self._files.enter_context(self._log_path.open("wb"))
        self._output = self._files.enter_context((folder / f"{run.name}.jsonl").open())
        self._process: subprocess.Popen[bytes] = start_python(
            "-m", worker, run.name, url, folder=folder, output=output, log=log
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        stop(self._process)
        self._files.close()

    def follow(self) -> bool:
        """Reads what is new; True once the process has ended well and all is read."""
        code = self._process.poll()
        *lines, self._unread = (self._unread + self._output.read()).split("\n")
        for line in lines:
            self._take(json.loads(line))
        if code:
            tail = self._log_path.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
            raise TrainingFailedError(f"{self.run.name} ended with code {code}:\n{tail}")
        return code is not None

    def record(self) -> TrainingRecord:
        return TrainingRecord(losses=tuple(self._losses), accuracy=tuple(self._accuracy))

    def _take(self, progress: dict[str, float | None]) -> None:
        step, loss, accuracy = progress["step"], progress["loss"], progress.get("test_accuracy")
        assert step is not None
        assert loss is not None
        self.steps_done = int(step)
        self._losses.append(loss)
        if accuracy is not None:
            self._accuracy.append((self.steps_done, accuracy))


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:36}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeElapsedColumn(),
        console=console,
    )
