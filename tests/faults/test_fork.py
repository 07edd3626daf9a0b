"""A training that forks: the children do nothing, the parent goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from bifurk.monitor import Monitor
from tests.faults.rest import settled
from tests.faults.training import CONTEXT, SNAPSHOTS, STEPS, Outcome, Training, text, unwatched
from tests.server import Server

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork with"),
    # From Python 3.12 on forking beside threads warns; users do it all the same.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


class Windows(Dataset[torch.Tensor]):
    """Stretches of the text, each read in a worker process."""

    def __len__(self) -> int:
        return 4 * STEPS

    def __getitem__(self, index: int) -> torch.Tensor:
        start = index * (CONTEXT + 1)
        return torch.from_numpy(text()[start : start + CONTEXT + 1].astype("int64"))


def with_workers(training: Training, monitor: Monitor | None = None) -> Outcome:
    loader = DataLoader(
        Windows(), batch_size=4, shuffle=True, num_workers=2, multiprocessing_context="fork"
    )
    training.run(monitor, batches=loader)
    return training.outcome()


def test_data_loader_workers_change_nothing(house: Server, spool_dir: Path) -> None:
    alone = with_workers(Training())
    training = Training()
    with training.watch("workers", url=house.url, spool_dir=spool_dir) as monitor:
        assert with_workers(training, monitor) == alone
    run = settled(house, "workers", judged=SNAPSHOTS)
    assert (run["state"], run["attempts"][0]["dropped"]) == ("finished", {})


def test_a_forked_child_posts_nothing_and_ends_nothing(house: Server, spool_dir: Path) -> None:
    training = Training()
    monitor = training.watch("forked", url=house.url, spool_dir=spool_dir)

    def fork(step: int) -> None:
        if step == STEPS // 2:
            assert in_a_child(lambda: play_on(training, monitor)) == 0

    training.run(monitor, each_step=fork)
    monitor.close()
    assert training.outcome() == unwatched()
    run = settled(house, "forked", judged=SNAPSHOTS)
    assert run["state"] == "finished"
    assert (run["last_step"], run["snapshots"]["total"]) == (STEPS, SNAPSHOTS)
    assert run["attempts"][0]["dropped"] == {}
    assert list(spool_dir.iterdir()) == []


def play_on(training: Training, monitor: Monitor) -> None:
    """All that a training can do to its monitor."""
    training.run(monitor)
    monitor.mark("evaluation")
    monitor.set_step(1_000)
    assert not monitor.flush()
    monitor.close()


def in_a_child(act) -> int:  # type: ignore[no-untyped-def]
    """The exit code of a forked child that does this: 0 when it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
