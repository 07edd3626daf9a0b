"""The demo from start to end: serve, train, wait for the verdicts, draw, tell, serve on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from bifurk_service.demo.api import Api, ApiError
from bifurk_service.demo.collect import NotJudgedError, collect, wait_until_judged
from bifurk_service.demo.drawing import draw
from bifurk_service.demo.report import report
from bifurk_service.demo.runs import RUNS
from bifurk_service.demo.server import ServerFailedError, serving
from bifurk_service.demo.trainings import TrainingFailedError, train_all

INTERRUPTED: Final = 130
"""What a shell reports of a command that Ctrl-C ended."""


def conduct(*, exit_when_done: bool, data_dir: Path, port: int | None) -> int:
    """Runs the whole demo; arguments and exit codes are those of ``bifurk_service.demo.run``."""
    console = Console()
    folder = data_dir.absolute() / datetime.now(UTC).strftime("demo-%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    console.print(f"Starting a server; everything goes to {folder}", soft_wrap=True)
    try:
        with _interrupted_when_terminated(), serving(folder, port=port) as api:
            code = _train_and_tell(api, folder, console)
            if not exit_when_done:
                _serve_until_interrupted(api, console)
            return code
    except (ApiError, ServerFailedError, TrainingFailedError, NotJudgedError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return INTERRUPTED


@contextmanager
def _interrupted_when_terminated() -> Iterator[None]:
    """Lets SIGTERM end the demo as Ctrl-C does, so that no child outlives it."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _train_and_tell(api: Api, folder: Path, console: Console) -> int:
    started = time.monotonic()
    console.print(f"Serving on {api.url}; five trainings through the hook:")
    records = train_all(RUNS, url=api.url, folder=folder, console=console)
    console.print("Trained; waiting for the last verdicts.")
    wait_until_judged(api)
    facts = collect(api, records)
    pictures = draw(api, facts, folder=folder, console=console)
    code = report(facts, url=api.url, console=console)
    for path in pictures:
        console.print(f"picture: {path}", soft_wrap=True)
    console.print(f"{time.monotonic() - started:.0f} s from the first training to here.")
    return code


def _serve_until_interrupted(api: Api, console: Console) -> None:
    console.print(f"Serving on {api.url} until Ctrl-C.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("Stopped.")
