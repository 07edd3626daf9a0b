"""Snapshots that come late change what is said of a baseline as a restart would."""

from __future__ import annotations

from typing import Any

import pytest

from bifurk_service.store.run_lists import list_runs
from bifurk_service.store.runs import delete_run
from tests.pipeline.baselined import GOOD, NOW, STEP, Keep, Runs, baseline, leave

GAP = range(260, 370, STEP)
"""Steps of the sequences 26 to 36."""
BEGINS = 310


def test_what_comes_late_of_a_run_is_held_too(runs: Runs, keep: Keep) -> None:
    keeper = keep()
    with_a_gap(runs, "bad", grown=3.0)
    keeper.run(NOW)
    [before] = runs.alerts()
    assert (before.onset_first_step, before.onset_last_step) == (250, 370)
    fill(runs, "bad", grown=3.0)
    keeper.run(NOW)
    assert (runs.alerts()[0].onset_first_step, runs.alerts()[0].onset_last_step) == (300, BEGINS)
    assert runs.alerts()[0].detected_step == BEGINS + 4 * STEP
    said = spoken(runs)
    keep().run(NOW)
    assert spoken(runs) == said


@pytest.mark.parametrize("state", ["running", "finished"])
def test_a_few_that_come_late_wait_for_more_while_the_run_goes_on(
    runs: Runs, keep: Keep, state: str
) -> None:
    keeper = keep()
    with_a_gap(runs, "bad", grown=3.0)
    runs.state("bad", state)
    keeper.run(NOW)
    runs.judge("bad", [360], grown=3.0, first=36)
    keeper.run(NOW)
    assert runs.alerts()[0].onset_last_step == (370 if state == "running" else 360)
    fill(runs, "bad", grown=3.0, until=360)
    keeper.run(NOW)
    assert runs.alerts()[0].onset_last_step == BEGINS


def test_what_comes_late_of_a_good_run_counts_for_the_band_and_for_how_far_it_leaves_it(
    runs: Runs, keep: Keep
) -> None:
    with runs.database.write() as session:
        [old] = [one.id for one in list_runs(session) if one.run == GOOD[0]]
        delete_run(session, old)
    with_a_gap(runs, GOOD[0])
    leave(runs)
    keeper = keep(baseline(run="bad"))
    keeper.run(NOW)
    assert [one.state for one in runs.alerts()] == ["firing"]
    fill(runs, GOOD[0], grown=3.0)
    runs.judge("bad", range(400, 450, STEP), grown=2.0)
    keeper.run(NOW)
    assert [one.state for one in runs.alerts()] == ["resolved"]
    said = spoken(runs)
    keep(baseline(run="bad")).run(NOW)
    assert spoken(runs) == said


def with_a_gap(runs: Runs, run: str, *, grown: float = 1.0) -> None:
    """A run of sixty snapshots without those of the gap, larger beyond it."""
    runs.judge(run, range(0, GAP.start, STEP))
    runs.judge(run, range(GAP.stop, 600, STEP), grown=grown, first=GAP.stop // STEP)


def fill(runs: Runs, run: str, *, grown: float, until: int = GAP.stop) -> None:
    """What was missing comes, larger from where it begins."""
    runs.judge(run, range(GAP.start, BEGINS, STEP), first=GAP.start // STEP)
    runs.judge(run, range(BEGINS, until, STEP), grown=grown, first=BEGINS // STEP)


def spoken(runs: Runs) -> list[dict[str, Any]]:
    """All that the alerts say."""
    return [
        {name: value for name, value in vars(one).items() if not name.startswith("_")}
        for one in runs.alerts()
    ]
