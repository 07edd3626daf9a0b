"""A good run that has nothing in common with a run is named in the log, and does not count."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import pytest

from bifurk_service.store.run_lists import list_runs
from bifurk_service.store.runs import delete_run
from tests.pipeline.baselined import GOOD, NOW, STEP, Keep, Runs, baseline, leave

STEPS = range(0, 600, STEP)


def test_another_model_under_a_good_runs_name_does_not_count(
    runs: Runs, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    forget(runs, GOOD[:1])
    runs.judge(GOOD[0], STEPS, model="conv")
    leave(runs)
    [line] = heard(runs, keep, caplog)
    assert line == (
        "baseline steady: its good runs good-1 have no course in common with run bad (another "
        "model under that name, or values of none of the statistics), 5 are left"
    )
    [alert] = runs.alerts()
    assert "the band of 5 good runs" in alert.sentence
    assert sorted(alert.evidence["good"]) == sorted(alert.evidence["good_out"]) == list(GOOD[1:])


@pytest.mark.parametrize(
    ("model", "grown"), [("conv", 1.0), ("h", math.nan)], ids=["another model", "no values"]
)
def test_where_too_few_are_left_it_is_said_why_nothing_is_told(
    runs: Runs, keep: Keep, caplog: pytest.LogCaptureFixture, model: str, grown: float
) -> None:
    forget(runs, GOOD[:2])
    for name in GOOD[:2]:
        runs.judge(name, STEPS, model=model, grown=grown)
    leave(runs)
    [line] = heard(runs, keep, caplog)
    assert "its good runs good-1, good-2 have no course in common with run bad" in line
    assert line.endswith("4 are left; fewer than 5 say nothing")
    assert runs.alerts() == []


def test_of_a_run_without_values_no_good_run_is_a_stranger(
    runs: Runs, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    runs.judge("bad", [0], grown=math.nan)
    assert heard(runs, keep, caplog) == []


def heard(runs: Runs, keep: Keep, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says while a bad run is held twice."""
    keeper = keep(baseline(run="bad"))
    with caplog.at_level(logging.INFO, logger="bifurk.service"):
        keeper.run(NOW)
        runs.judge("bad", range(400, 500, STEP), grown=math.nan)
        keeper.run(NOW)
    return caplog.messages


def forget(runs: Runs, names: Sequence[str]) -> None:
    for name in names:
        with runs.database.write() as session:
            [old] = [one.id for one in list_runs(session) if one.run == name]
            delete_run(session, old)
