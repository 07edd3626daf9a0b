"""Two runs, or two steps of one: how far apart, and where they part, against scipy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bifurk.wire import Part
from bifurk_service.stats.distributions.comparison import ROUNDED_KS_TOLERANCE
from tests.api.filling import Caller
from tests.parts import SHAPES, make_part, make_tensor, weights_at

SNAPSHOTS = 8
FAULT = 4
"""From this sequence on one matrix of the faulty run is three times as large."""
SMALL, LARGE = "blocks.0.mlp.down.weight", "blocks.0.mlp.up.weight"
LAST = 10 * (SNAPSHOTS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Ids by name."""

    good: int
    twin: int
    faulty: int
    renamed: int
    shifted: int


def part(sequence: int, run: str, **manifest: Any) -> Part:
    return make_part(sequence, project="compared", run=run, full=False, **manifest)


def faulty(sequence: int) -> Part:
    sound = part(sequence, "faulty")
    if sequence < FAULT:
        return sound
    large = tuple(
        make_tensor(tensor.name, 3 * weights_at(sequence)[tensor.name], full=False)
        if tensor.name in (SMALL, LARGE)
        else tensor
        for tensor in sound.tensors
    )
    return replace(sound, tensors=large)


def renamed(sequence: int) -> Part:
    sound = part(sequence, "renamed")
    return replace(sound, tensors=tuple(replace(t, name=f"other.{t.name}") for t in sound.tensors))


@pytest.fixture(scope="module")
def runs(anyone: Caller) -> Runs:
    for sequence in range(SNAPSHOTS):
        anyone.post_part(part(sequence, "good"))
        anyone.post_part(part(sequence, "twin"))
        anyone.post_part(faulty(sequence))
    for sequence in range(2):
        anyone.post_part(renamed(sequence))
        step = sequence * 10 + 5
        anyone.post_part(
            part(sequence, "shifted", step=step, previous_step=step - 10 if sequence else None)
        )
    ids = {name: anyone.run_id("compared", name) for name in Runs.__dataclass_fields__}
    for name, run in ids.items():
        anyone.wait_until_judged(run, 2 if name in ("renamed", "shifted") else SNAPSHOTS)
    return Runs(**ids)


def compare(anyone: Caller, this: int, query: str) -> Any:
    return anyone.get(f"/api/v1/runs/{this}/compare?{query}")


def by_name(comparison: Any) -> dict[str, Any]:
    return {one["tensor"]["name"]: one for one in comparison["tensors"]}


def at(sequence: int, name: str) -> NDArray[np.float64]:
    return weights_at(sequence)[name].astype(np.float64).ravel()


def test_distances_are_scipys(anyone: Caller, runs: Runs) -> None:
    found = by_name(compare(anyone, runs.faulty, f"with={runs.good}"))
    good = at(SNAPSHOTS - 1, SMALL)
    small = found[SMALL]
    assert small["ks"] == pytest.approx(stats.ks_2samp(3 * good, good).statistic, abs=1e-9)
    moved = stats.wasserstein_distance(3 * good, good)
    assert small["wasserstein_1"] == pytest.approx(moved, rel=1e-6)
    assert small["wasserstein_1_sigma"] == pytest.approx(moved / good.std(), rel=1e-6)
    assert 0 < small["js_divergence"] < np.log(2)
    large = at(SNAPSHOTS - 1, LARGE)
    assert found[LARGE]["ks"] == pytest.approx(
        stats.ks_2samp(3 * large, large).statistic, abs=ROUNDED_KS_TOLERANCE
    )
    same = found["blocks.0.mlp.up.bias"]
    assert (same["ks"], same["wasserstein_1"], same["no_value"]) == (0, 0, None)


def test_statistics_stand_side_by_side(anyone: Caller, runs: Runs) -> None:
    query = f"with={runs.good}&stat=std&stat=mean&step={LAST}"
    found = by_name(compare(anyone, runs.faulty, query))[SMALL]["statistics"]
    assert list(found) == ["std", "mean"]
    assert found["std"]["ratio"] == pytest.approx(3, rel=1e-6)
    assert found["std"]["difference"] == pytest.approx(2 * found["std"]["other"], rel=1e-6)
    assert found["mean"]["ratio"] is None


def test_where_two_runs_part_is_told(anyone: Caller, runs: Runs) -> None:
    comparison = compare(anyone, runs.faulty, f"with={runs.good}")
    parting = comparison["parting"]
    assert (parting["common_steps"], parting["first_step"], parting["last_step"]) == (8, 0, LAST)
    assert parting["first_difference"] == FAULT * 10
    assert parting["last_together"] == (FAULT - 1) * 10
    assert {one["tensor"]["name"] for one in parting["tensors"]} == {SMALL, LARGE}
    for one in parting["tensors"]:
        assert one["step"] == FAULT * 10
        assert {"std", "rms"} <= set(one["statistics"])
    said = " ".join(comparison["sentences"])
    assert f"They part at step {FAULT * 10} and are equal until step {FAULT * 10 - 10}" in said
    assert "First to part: 2 of 2 matrices, in layer 0. No other follows." in said


def test_identical_runs_do_not_part(anyone: Caller, runs: Runs) -> None:
    comparison = compare(anyone, runs.twin, f"with={runs.good}")
    assert comparison["parting"]["first_difference"] is None
    assert comparison["parting"]["tensors"] == []
    assert {one["ks"] for one in comparison["tensors"]} == {0}
    assert comparison["sentences"][1:] == [
        f"They do not part: every compared statistic is the same (8 common steps, 0 to {LAST}).",
        "The distributions of 4 tensors are the same.",
    ]


def test_two_steps_of_one_run_are_compared(anyone: Caller, runs: Runs) -> None:
    comparison = compare(anyone, runs.good, "with_step=0")
    assert (comparison["this"]["step"], comparison["other"]["step"]) == (LAST, 0)
    assert comparison["parting"] is None
    then, now = at(0, SMALL), at(SNAPSHOTS - 1, SMALL)
    assert by_name(comparison)[SMALL]["ks"] == pytest.approx(stats.ks_2samp(then, now).statistic)
    assert comparison["sentences"][0] == f"good: step {LAST} against step 0, 4 tensors."
    assert compare(anyone, runs.good, f"with={runs.good}&with_step=0") == comparison


def test_the_newest_common_step_is_compared_unless_others_are_asked_for(
    anyone: Caller, runs: Runs
) -> None:
    def steps(query: str, this: int = runs.good) -> tuple[int, int]:
        found = compare(anyone, this, query)
        return found["this"]["step"], found["other"]["step"]

    assert steps(f"with={runs.faulty}") == (LAST, LAST)
    assert steps(f"with={runs.faulty}&step=20") == (20, 20)
    assert steps(f"with={runs.faulty}&with_step=20") == (20, 20)
    assert steps(f"with={runs.faulty}&step=10&with_step=20") == (10, 20)
    assert steps(f"with={runs.shifted}&step=10&with_step=5") == (10, 5)


def test_runs_without_a_common_step_are_compared_at_two_and_do_not_part(
    anyone: Caller, runs: Runs
) -> None:
    status, problem = anyone.request("GET", f"/api/v1/runs/{runs.good}/compare?with={runs.shifted}")
    assert status == 404
    assert "no step in common" in problem["detail"]
    assert f"run {runs.shifted} has 2 from 5 to 15" in problem["detail"]
    comparison = compare(anyone, runs.good, f"with={runs.shifted}&step=0&with_step=5")
    assert comparison["parting"]["common_steps"] == 0
    assert "no step in common" in comparison["sentences"][1]


@pytest.mark.parametrize("query", ["role=bias", "tensor=*bias", "layer=0&role=bias"])
def test_some_tensors_are_compared(anyone: Caller, runs: Runs, query: str) -> None:
    comparison = compare(anyone, runs.faulty, f"with={runs.good}&{query}")
    assert set(by_name(comparison)) == {name for name in SHAPES if name.endswith("bias")}
    assert comparison["parting"]["tensors"] == []


def test_runs_without_a_common_tensor_are_not_compared(anyone: Caller, runs: Runs) -> None:
    status, problem = anyone.request("GET", f"/api/v1/runs/{runs.good}/compare?with={runs.renamed}")
    assert (status, problem["where"]) == (404, "tensor")
    assert "4 match" in problem["detail"]


def test_what_cannot_be_compared_is_said(anyone: Caller, runs: Runs) -> None:
    refused = [
        (422, "", "with_step"), (422, f"with={runs.good}", "with_step"),
        (404, "with=999999", "no run 999999"), (404, "with_step=13", "nearest"),
        (404, f"with={runs.twin}&step=1000000", f"step {LAST}"),
        (404, f"with={runs.twin}&tensor=nothing*", "0 match"),
        (422, f"with={runs.twin}&stat=beauty", "beauty"), (422, "with=0", ""),
        (422, f"with={2**63}", ""), (422, f"with={runs.twin}&with_step=-1", ""),
    ]  # fmt: skip
    for status, query, said in refused:
        answered, problem = anyone.request("GET", f"/api/v1/runs/{runs.good}/compare?{query}")
        assert answered == status, query
        assert said in problem["detail"], query


def test_steps_that_a_resumed_run_replaced_are_not_compared(anyone: Caller) -> None:
    for sequence in range(5):
        anyone.post_part(part(sequence, "whole"))
        anyone.post_part(part(sequence, "resumed"))
    for sequence in range(2):
        step = 20 + 10 * sequence
        again = part(sequence, "resumed", attempt="second", step=step, previous_step=None)
        anyone.post_part(again)
    whole, resumed = (anyone.run_id("compared", name) for name in ("whole", "resumed"))
    anyone.wait_until_judged(whole, 5)
    anyone.wait_until_judged(resumed, 7)
    answer = anyone.get(f"/api/v1/runs/{resumed}/compare?with={whole}")
    assert (answer["this"]["step"], answer["other"]["step"]) == (30, 30)
    assert "0 to 30" in " ".join(answer["sentences"]) or answer["parting"]["last_step"] == 30
