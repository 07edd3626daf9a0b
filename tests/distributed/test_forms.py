"""Whatever form several processes hold a model in, it is measured as if one had held it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.distributed.compared import (
    State,
    assert_same_parts,
    assert_same_statistics,
    carried,
    run_id,
    snapshots_of,
    statistics,
    watch_whole,
)
from tests.distributed.forked import DEADLINE_SECONDS
from tests.distributed.forms import FORMS, OVERFLOWS_AT, SNAPSHOTS, AdaptedNet, Net
from tests.server import Server

ALL = [(ranks, form) for ranks, forms in FORMS.items() for form in forms]
in_every_form = pytest.mark.parametrize(("ranks", "form"), ALL, ids=[form for _, form in ALL])

SENDERS = {"flat_replicated": 1}
"""How many ranks post, where it is not every one."""
CARRIERS = {
    "both_ways": {1, 2, 4},
    "hybrid": {1, 2},
    "flat_hybrid": {1, 2},
    "split": {1},
    "flat_replicated": {1},
}
"""How many of them carry something of one tensor; of two that share all, one or both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    server: Server
    ranks: dict[int, list[dict[str, Any]]]

    def states(self, ranks: int, form: str) -> list[State]:
        """The weights at the snapshots: a round of which the gradients overflow is no step."""
        states: list[State] = self.ranks[ranks][0][form]["watched"]["weights"]
        if len(states) == SNAPSHOTS:
            return states
        return [*states[: OVERFLOWS_AT + 1], *states[OVERFLOWS_AT + 2 :]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("forms")
    server = Server(folder / "data", {"BIFURK_PART_TIMEOUT_SECONDS": "300"})
    try:
        yield _train(folder, server)
    finally:
        server.stop()


def _train(folder: Path, server: Server) -> Trained:
    environment = {**os.environ, "BIFURK_URL": server.url, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "tests.distributed.train_forms", str(folder)]
    ended = subprocess.run(command, check=False, env=environment, timeout=3 * DEADLINE_SECONDS)
    logs = "\n".join(log.read_text() for log in sorted(folder.glob("?-?.log")))
    assert ended.returncode == 0, logs
    left = {
        ranks: [torch.load(folder / f"{ranks}-{rank}.pt") for rank in range(ranks)]
        for ranks in FORMS
    }
    trained = Trained(server=server, ranks=left)
    for ranks, form in ALL:
        model: nn.Module = AdaptedNet() if form == "adapted" else Net()
        states = trained.states(ranks, form)
        run = f"{form}-whole"
        watch_whole(model, states, run=run, every=2, url=server.url, folder=folder)
        for name in (form, run):
            server.wait_until_judged(run_id(trained, name), SNAPSHOTS)
    return trained


@in_every_form
def test_the_training_is_the_same_with_and_without_the_hook(
    trained: Trained, ranks: int, form: str
) -> None:
    for rank in trained.ranks[ranks]:
        bare, watched = rank[form]["bare"], rank[form]["watched"]
        assert bare["losses"] == watched["losses"]
        assert torch.equal(bare["random"], watched["random"])
        for before, after in zip(bare["weights"], watched["weights"], strict=True):
            assert before.keys() == after.keys()
            assert all(torch.equal(before[name], after[name]) for name in before)


@in_every_form
def test_no_collective_is_added(trained: Trained, ranks: int, form: str) -> None:
    for rank in trained.ranks[ranks]:
        bare, watched = rank[form]["collectives"]
        assert bare == watched
        assert bare > 0, "they are counted"


@in_every_form
def test_every_rank_posts_its_part_of_every_snapshot(
    trained: Trained, ranks: int, form: str
) -> None:
    snapshots = snapshots_of(trained, form)
    senders = SENDERS.get(form, ranks)
    assert [one["step"] for one in snapshots] == [0, 1, 2]
    for one in snapshots:
        came = (one["expected_parts"], one["received_parts"], one["coverage"], one["state"])
        assert came == (senders, senders, 1, "judged")


@in_every_form
def test_counts_samples_and_values_equal_those_of_one_process(
    trained: Trained, ranks: int, form: str
) -> None:
    ours, theirs = carried(trained, form), carried(trained, f"{form}-whole")
    assert {len(pieces) for pieces in ours.values()} == CARRIERS.get(form, {1, ranks})
    assert_same_parts(ours, theirs)


@in_every_form
def test_stored_statistics_equal_those_of_one_process(
    trained: Trained, ranks: int, form: str
) -> None:
    ours, theirs = statistics(trained, form), statistics(trained, f"{form}-whole")
    tensors = len(trained.states(ranks, form)[0]) + (form == "adapted")
    assert len(ours) == tensors * SNAPSHOTS, "an adapter's update is one more"
    assert assert_same_statistics(ours, theirs) > SNAPSHOTS, "spectra were measured"
