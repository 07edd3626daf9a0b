"""A model that two real processes hold together is measured as if one process had held it."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from tests.asking import asked
from tests.distributed.compared import (
    assert_same_parts,
    assert_same_statistics,
    carried,
    snapshots_of,
    statistics,
)
from tests.distributed.conftest import Trained, whole_weights
from tests.distributed.training import AXES, KILLED_BEFORE, SNAPSHOTS

PIECES = {"sharded": {1, 2}, "tensor": {1, 2}, "replicated": {1}}
"""How many parts carry a tensor."""

in_every_form = pytest.mark.parametrize("form", AXES)


@pytest.fixture(scope="module")
def stored(trained: Trained) -> Trained:
    for form in AXES:
        for run in (form, f"{form}-whole"):
            trained.server.wait_until_judged(trained.run_id(run), SNAPSHOTS)
    return trained


@in_every_form
def test_the_training_is_the_same_with_and_without_the_hook(trained: Trained, form: str) -> None:
    for rank in trained.ranks:
        bare, watched = rank[form]["bare"], rank[form]["watched"]
        assert bare["losses"] == watched["losses"]
        assert torch.equal(bare["random"], watched["random"])
        for before, after in zip(bare["shards"], watched["shards"], strict=True):
            assert before.keys() == after.keys()
            assert all(torch.equal(before[name], after[name]) for name in before)


@in_every_form
def test_every_rank_with_shards_sends_its_part_of_every_snapshot(
    stored: Trained, form: str
) -> None:
    snapshots = snapshots_of(stored, form)
    parts = 1 if form == "replicated" else 2
    assert [one["step"] for one in snapshots] == [0, 1, 2, 4]
    for one in snapshots:
        assert (one["expected_parts"], one["received_parts"], one["coverage"]) == (parts, parts, 1)
        assert one["state"] == "judged"


@in_every_form
def test_counts_samples_and_values_equal_those_of_one_process(stored: Trained, form: str) -> None:
    ours, theirs = carried(stored, form), carried(stored, f"{form}-whole")
    assert {len(pieces) for pieces in ours.values()} == PIECES[form]
    assert_same_parts(ours, theirs)


@in_every_form
def test_stored_statistics_equal_those_of_one_process(stored: Trained, form: str) -> None:
    ours, theirs = statistics(stored, form), statistics(stored, f"{form}-whole")
    assert len(ours) == 7 * SNAPSHOTS
    assert assert_same_statistics(ours, theirs) > SNAPSHOTS, "spectra were measured"


def test_values_are_answered_whole(stored: Trained) -> None:
    run = stored.run_id("sharded")
    tensors = stored.server.get(f"/api/v1/runs/{run}/tensors")["items"]
    (tensor,) = [one for one in tensors if one["name"] == "norm.weight"]
    url = f"{stored.server.url}/api/v1/runs/{run}/tensors/{tensor['id']}/values?step=4"
    reply = asked("GET", url)
    assert reply.status == 200, reply.data
    answer = load(reply.data)["norm.weight"]
    expected = whole_weights("sharded", stored.ranks, 4)["norm.weight"]
    np.testing.assert_array_equal(answer, expected.numpy())


def test_a_killed_rank_leaves_a_part_and_its_coverage(trained: Trained) -> None:
    codes, server = trained.exit_codes, trained.server
    assert codes[1] == -signal.SIGKILL
    assert codes[0] > 0, "the other process heard of it from torch, and ended"
    server.wait_until_judged(trained.run_id("killed"), 3)
    *whole, last = snapshots_of(trained, "killed")
    assert [one["coverage"] for one in whole] == [1.0, 1.0]
    assert last["step"] == KILLED_BEFORE
    assert (last["received_parts"], last["coverage"], last["state"]) == (1, 0.5, "judged")
    attempts = server.get(f"/api/v1/runs/{trained.run_id('killed')}")["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["failed"]


def test_what_only_the_living_rank_holds_is_measured_all_the_same(trained: Trained) -> None:
    trained.server.wait_until_judged(trained.run_id("killed"), 3)
    rows = statistics(trained, "killed")
    head, embedding = (rows[KILLED_BEFORE, name] for name in ("head.weight", "embedding.weight"))
    assert head["l2_norm"] is not None
    assert embedding["l2_norm"] is None
    assert embedding["no_value"]["l2_norm"] == f"{76 * 129} of {151 * 129} elements came"
