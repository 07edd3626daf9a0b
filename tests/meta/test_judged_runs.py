"""Trainings under the detectors: recordings keep what judges are fed, tables say what was told."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.trainings.alert_tables import (
    after_event,
    alert_tables,
    before_doubling,
    fell_before_generalising,
    named_rightly,
    rate_interval,
)
from benchmarks.trainings.families import (
    EVENT_STEP,
    FAULT,
    HEALTHY_CONSTANT,
    MODULAR_TRUE,
    RESUMED,
    RUNAWAY,
    Training,
)
from benchmarks.trainings.judging import judged
from benchmarks.trainings.page import filled
from benchmarks.trainings.recording import RecordedAttempt, Recording, load, save
from bifurk_service.domain import Clock, Mark, TensorInfo

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/detectors/real-runs.md"
RESULTS = PROJECT / "benchmarks/results/real_runs.json"
STATISTICS = ("std", "nonfinite_count")


def attempt(nonfinite: Sequence[float], *, first_step: int = 0) -> RecordedAttempt:
    """One matrix of block 2 with a snapshot every second step."""
    steps = [first_step + 2 * index for index in range(len(nonfinite))]
    return RecordedAttempt(
        clocks=tuple(
            Clock(
                sequence=index,
                step=step,
                previous_step=steps[index - 1] if index else None,
                learning_rates=(1e-3,),
                marks=(Mark(kind="checkpoint", step=step, details={"path": "a"}),),
            )
            for index, step in enumerate(steps)
        ),
        tensors=(TensorInfo(id=7, name="up", layer=2, role="mlp.up", shape=(8, 4)),),
        counts=np.ones(len(steps), dtype=np.int64),
        statistics=STATISTICS,
        values=np.array([[[0.02], [count]] for count in nonfinite]),
    )


def recording(*attempts: RecordedAttempt, losses: Sequence[float] = (3.0,) * 400) -> Recording:
    return Recording(
        attempts=attempts,
        losses=np.array(losses),
        accuracy=((10, 0.2), (20, 0.6)),
        made_with={"torch": "2"},
    )


def alert(step: int, *layers: int | str, **others: Any) -> dict[str, Any]:
    return {
        "attempt": 0,
        "kind": "regime_shift",
        "severity": "warning",
        "statistic": "std",
        "step": step,
        "onset": [step - 4, step - 2],
        "layers": list(layers),
        "tensors": 4,
        "named": [],
        "score": 2.0,
        "explained_by": [],
        "parent": "",
        "sentence": "",
        "loss": 2.5,
    } | others


def run(family: str, *alerts: dict[str, Any], seed: int = 10_001, **others: Any) -> dict[str, Any]:
    loss = {"before": 2.5, "highest": 6.0, "doubled_step": 300, "last": 2.4}
    return {
        "name": f"{family}-{seed}",
        "family": family,
        "seed": seed,
        "snapshots": [202],
        "loss": loss,
        "generalised_step": None,
        "fall_step": None,
        "alerts": list(alerts),
        "info": {},
    } | others


def rows(name: str, *runs: dict[str, Any]) -> list[list[str]]:
    text = alert_tables({"runs": list(runs)})[name]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n")[2:]]


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = recording(attempt([0, math.nan]), attempt([0, 0, 1], first_step=4))
    save(written, tmp_path / "run.npz")
    found = load(tmp_path / "run.npz")
    assert found.losses.tolist() == written.losses.tolist()
    assert (found.accuracy, found.made_with) == (written.accuracy, written.made_with)
    for ours, theirs in zip(found.attempts, written.attempts, strict=True):
        assert (ours.clocks, ours.tensors) == (theirs.clocks, theirs.tensors)
        assert ours.statistics == theirs.statistics
        np.testing.assert_array_equal(ours.values, theirs.values)
        np.testing.assert_array_equal(ours.counts, theirs.counts)


def test_nothing_is_left_of_a_recording_that_was_not_finished(tmp_path: Path) -> None:
    save(recording(attempt([0])), tmp_path / "run.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_the_judge_sees_only_tensors_that_had_come() -> None:
    late = attempt([0, 0])
    counts = np.array([0, 1])
    partial = RecordedAttempt(
        clocks=late.clocks,
        tensors=late.tensors,
        counts=counts,
        statistics=late.statistics,
        values=late.values,
    )
    assert [len(tensors) for _, tensors, _ in partial] == [0, 1]
    assert [values["std"].shape for _, _, values in partial] == [(0,), (1,)]


def test_an_alert_comes_with_its_step_its_block_and_the_loss_so_far() -> None:
    losses = [3.0, 3.0, 2.0, 2.0, 9.0, *[9.0] * 395]
    document = judged(
        Training(family=HEALTHY_CONSTANT, seed=1),
        recording(attempt([0, 0, 1, 1]), losses=losses),
    )
    (found,) = document["alerts"]
    assert (found["kind"], found["severity"], found["step"]) == ("non_finite", "critical", 4)
    assert (found["layers"], found["tensors"]) == ([2], 1)
    assert found["loss"] == 2.5
    assert document["snapshots"] == [4]
    assert document["generalised_step"] == 20


def test_every_attempt_has_a_judge_of_its_own() -> None:
    document = judged(
        Training(family=RESUMED, seed=1),
        recording(attempt([0, 0]), attempt([0, 1], first_step=200)),
    )
    assert [(found["attempt"], found["step"]) for found in document["alerts"]] == [(1, 202)]


def test_the_loss_has_doubled_with_the_first_batch_of_twice_the_loss_before() -> None:
    losses = [2.0] * 400
    losses[EVENT_STEP + 5] = 4.1
    training = Training(family=RUNAWAY, seed=1)
    assert judged(training, recording(losses=losses))["loss"]["doubled_step"] == EVENT_STEP + 5
    assert judged(training, recording())["loss"]["doubled_step"] is None


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ([alert(270, 1)], True),
        ([alert(300, 1)], False),
        ([alert(250, 1)], False),
        ([], False),
    ],
)
def test_in_time_is_after_the_event_and_before_the_loss_has_doubled(
    alerts: list[dict[str, Any]], expected: bool
) -> None:
    assert before_doubling(run("runaway", *alerts), RUNAWAY) == expected


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ([alert(262, 2), alert(270, 2)], True),
        ([alert(262, 2, 3)], False),
        ([alert(262, 2), alert(270, "none")], False),
        ([alert(100, 5), alert(262, 2)], True),
        ([], False),
    ],
)
def test_a_fault_is_named_rightly_when_no_other_block_is_named(
    alerts: list[dict[str, Any]], expected: bool
) -> None:
    assert named_rightly(run("fault", *alerts), FAULT) == expected


def test_an_alert_that_is_part_of_another_counts_as_well() -> None:
    parent, child = alert(262, 2), alert(264, 3, parent="abc")
    assert after_event(run("fault", parent, child), FAULT) == [parent, child]
    assert not named_rightly(run("fault", parent, child), FAULT)


def test_behind_the_seam_is_the_later_attempt() -> None:
    before, behind = alert(150, 1), alert(230, 1, attempt=1)
    assert after_event(run("resumed", before, behind), RESUMED) == [behind]


def test_a_fall_counts_when_it_is_told_before_half_is_right() -> None:
    steps = [(500, 900), (900, 900), (None, 900), (500, None)]
    found = [
        fell_before_generalising(run(MODULAR_TRUE.name, fall_step=fall, generalised_step=right))
        for fall, right in steps
    ]
    assert found == [True, False, False, False]


def test_healthy_runs_are_counted_with_their_intervals() -> None:
    runs = [run("healthy-constant", seed=seed) for seed in (1, 2, 3)]
    runs.append(run("healthy-cosine", alert(100, 1), alert(120, 2), alert(120, 2, parent="a")))
    constant, cosine, together = rows("healthy", *runs)
    assert constant[1:3] == ["3", "0"]
    assert cosine[1:5] == ["1", "3", "2", "3.00"]
    assert together[1:7] == ["4", "3", "2", "0.75", "0.15 to 2.19", "1"]


def test_nothing_in_three_runs_leaves_room_for_more_than_one_a_run() -> None:
    low, high = rate_interval(0, 3)
    assert low == 0
    assert high == pytest.approx(-math.log(0.025) / 3)


def test_alerts_are_told_with_onset_and_blocks_in_order() -> None:
    told = alert(262, 2, "none", 0, explained_by=["learning_rate"])
    before = alert(100, 5)
    assert rows("alerts", run("fault", before, told)) == [
        [
            "fault 10001",
            "regime_shift, warning",
            "262",
            "258 to 260",
            "2, none, 0 (4)",
            "2.50",
            "learning_rate",
        ]
    ]


def test_outcomes_say_whether_what_was_asked_came() -> None:
    outcomes = rows(
        "outcomes",
        run("fault", alert(264, 2)),
        run("dying", alert(264, 2, 3)),
        run("runaway", alert(280, 1)),
        run("blow-up", alert(310, 1)),
        run("corrupted"),
        run("resumed", alert(10, 1)),
    )
    assert {row[0].split()[0]: row[-1] for row in outcomes} == {
        "fault": "block 2, no other",
        "dying": "blocks 2, 3",
        "runaway": "in time",
        "blow-up": "too late",
        "corrupted": "not seen",
        "resumed": "quiet after the seam",
    }


def test_the_numbers_of_the_page_are_those_that_were_stored() -> None:
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, alert_tables(stored)) == page
