"""However a training ends, the server is told how, and nobody waits."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.rest import find_run, settled, snapshots
from tests.faults.training import SNAPSHOTS, STEPS, Training, unwatched
from tests.faults.watched_process import WatchedProcess
from tests.server import Server


def stop_at(step: int, error: BaseException):  # type: ignore[no-untyped-def]
    def each_step(done: int) -> None:
        if done == step:
            raise error

    return each_step


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("the loss is NaN")], ids=repr)
def test_an_exception_in_the_loop_passes_and_is_told_as_failed(
    error: BaseException, house: Server, spool_dir: Path
) -> None:
    training, run = Training(), f"raises-{type(error).__name__}"
    with (
        pytest.raises(type(error)),
        training.watch(run, url=house.url, spool_dir=spool_dir) as monitor,
    ):
        training.run(monitor, each_step=stop_at(STEPS, error))
    assert training.outcome() == unwatched()
    assert settled(house, run, judged=SNAPSHOTS)["state"] == "failed"


def arrived(server: Server, run: str) -> int:
    """How many of its snapshots the server has."""
    found = find_run(server, run)
    return len(snapshots(server, found)) if found else 0


def test_ctrl_c_ends_the_training_and_is_told_as_failed(house: Server, spool_dir: Path) -> None:
    client = WatchedProcess(
        "ctrl-c", steps=STEPS + 1, rests_at=STEPS, url=house.url, spool_dir=str(spool_dir)
    )
    client.signal_at(STEPS, signal.SIGINT, once=lambda: arrived(house, "ctrl-c") >= SNAPSHOTS)
    _, errors = client.wait()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    run = settled(house, "ctrl-c", judged=SNAPSHOTS)
    assert run["state"] == "failed"
    assert run["snapshots"]["total"] + sum(run["attempts"][0]["dropped"].values()) == (
        run["attempts"][0]["last_sequence"] + 1
    )
