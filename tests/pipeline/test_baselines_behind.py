"""A run is held again when what was missing is there: of itself, or of the good runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from bifurk_service.pipeline.baseline_news import QUIET_SECONDS, Looked, is_due
from bifurk_service.store.baselines import JudgedRun
from tests.pipeline.baselined import LEAVES, NOW, STEP, Keep, Runs, baseline, leave

BESIDE = tuple(f"beside-{number}" for number in range(1, 7))
"""Good runs that go on while the run does."""
SHORT = LEAVES + 3 * STEP
"""Up to here it cannot be told that the run has left."""
WHOLE = 400

RUN = JudgedRun(
    run_id=1, run="bad", attempt_id=1, is_running=True, cursor=40, until=400, behind=0,
    judged_at=NOW,
)  # fmt: skip
GOOD = replace(RUN, run_id=2, run="good", attempt_id=2, cursor=30, until=300)
SAME = Looked(run=RUN, good={GOOD.run_id: GOOD}, firm={})


def test_good_runs_that_were_behind_the_run_are_looked_at_again(runs: Runs, keep: Keep) -> None:
    keeper = keep(baseline(run="bad", good=BESIDE))
    go_on(runs, BESIDE, range(0, SHORT, STEP))
    leave(runs, until=WHOLE)
    keeper.run(NOW)
    assert runs.alerts() == []
    go_on(runs, BESIDE, range(SHORT, WHOLE, STEP))
    keeper.run(NOW)
    assert [one.onset_last_step for one in runs.alerts()] == [LEAVES]


def test_good_runs_that_came_later_than_the_run_count(runs: Runs, keep: Keep) -> None:
    keeper = keep(baseline(run="bad", good=BESIDE))
    go_on(runs, BESIDE[:-2], range(0, WHOLE, STEP))
    leave(runs, until=WHOLE)
    keeper.run(NOW)
    assert runs.alerts() == []
    go_on(runs, BESIDE[-2:], range(0, WHOLE, STEP))
    keeper.run(NOW)
    assert [one.onset_last_step for one in runs.alerts()] == [LEAVES]


def test_the_last_snapshots_of_a_run_that_stands_still_are_held(runs: Runs, keep: Keep) -> None:
    keeper = keep(baseline(run="bad"))
    leave(runs, until=SHORT)
    keeper.run(NOW)
    runs.judge("bad", range(SHORT, SHORT + 3 * STEP, STEP), grown=2.0)
    keeper.run(NOW + QUIET_SECONDS - 1)
    assert runs.alerts() == []
    keeper.run(NOW + QUIET_SECONDS)
    assert [one.onset_last_step for one in runs.alerts()] == [LEAVES]


@pytest.mark.parametrize(
    ("good", "after", "expected"),
    [
        pytest.param(GOOD, QUIET_SECONDS, False, id="nothing new"),
        pytest.param(replace(GOOD, cursor=34, until=340), 0.0, False, id="too few yet"),
        pytest.param(replace(GOOD, cursor=35, until=350), 0.0, True, id="enough"),
        pytest.param(replace(GOOD, cursor=31, until=310), QUIET_SECONDS, True, id="the last"),
        pytest.param(
            replace(GOOD, cursor=31, until=310, is_running=False), 0.0, True, id="it has ended"
        ),
        pytest.param(replace(GOOD, attempt_id=9, cursor=2), 0.0, True, id="another attempt"),
        pytest.param(replace(GOOD, run_id=9), 0.0, True, id="another run"),
    ],
)
def test_a_good_run_that_goes_on_is_a_reason_to_hold_a_run_again(
    good: JudgedRun, after: float, expected: bool
) -> None:
    assert is_due(SAME, RUN, [good], now=NOW + after) is expected


def test_what_a_good_run_does_beyond_the_run_is_none() -> None:
    beyond = replace(GOOD, cursor=40, until=400)
    last = Looked(run=RUN, good={GOOD.run_id: beyond}, firm={})
    further = replace(GOOD, cursor=90, until=900, is_running=False)
    assert not is_due(last, RUN, [further], now=NOW)


def go_on(runs: Runs, names: Iterable[str], steps: range) -> None:
    for name in names:
        runs.judge(name, steps)
