"""A run that goes on has its new snapshots held alone, and is told of as if it were held anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bifurk_service.detect import baseline_departures
from bifurk_service.detect.baseline_departures import required
from bifurk_service.pipeline import baselines
from bifurk_service.pipeline.baselines import BaselineKeeper
from bifurk_service.stats.baseline import HOLD, Band
from tests.pipeline.baselined import COURSES, GOOD, NOW, STEP, Keep, Runs, baseline, copied, leave


@pytest.fixture
def held_anew(good_runs: Path, tmp_path: Path) -> Iterator[Runs]:
    """The same good runs in another database."""
    with copied(good_runs, tmp_path / "anew.db") as found:
        yield found


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of every band that is made: at how many steps, from how many values of good runs."""
    found: list[tuple[int, int]] = []
    band_of = baseline_departures.band_of

    def spy(steps: Any, good: Any, **how: Any) -> Band:
        found.append((len(steps), sum(len(one.steps) for one in good)))
        return band_of(steps, good, **how)

    monkeypatch.setattr(baseline_departures, "band_of", spy)
    return found


def grown_by(runs: Runs, act: tuple[str, int, float]) -> None:
    """More snapshots of a run, larger by a factor."""
    name, count, grown = act
    with runs.database.read() as session:
        ends = {one.run: one.until for one in baselines.judged_runs(session, "gpt")}
    start = ends.get(name, -STEP) + STEP
    runs.judge(name, range(start, start + count * STEP, STEP), grown=grown)


def spoken(runs: Runs) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in vars(one).items() if not name.startswith("_")}
        for one in runs.alerts()
    ]


def test_what_is_told_is_what_holding_anew_tells(runs: Runs, held_anew: Runs, keep: Keep) -> None:
    held = baseline(run="bad", good=GOOD[:3], least_good=3)
    acts = [
        ("bad", 30, 1.0), ("bad", 7, 3.0), ("bad", 7, 3.0), ("bad", 20, 1.0), ("bad", 6, 5.0),
        *[(name, 12, 1.0) for name in GOOD[:3]], ("bad", 5, 5.0),
    ]  # fmt: skip
    kept = keep(held)
    for act in acts:
        for one in (runs, held_anew):
            grown_by(one, act)
        if act[0] == "bad":
            kept.run(NOW)
            BaselineKeeper(held_anew.database, baselines=lambda: [held], budget_seconds=1e9).run(
                NOW
            )
            assert spoken(runs) == spoken(held_anew), act
    assert [(one.state, one.onset_last_step) for one in runs.alerts()] == [("firing", 640)]


@pytest.mark.parametrize(
    ("until", "grown"), [(20, 1.0), (50, 2.0)], ids=["short", "long, and outside"]
)
def test_only_what_is_new_is_held_however_long_the_run(
    runs: Runs, keep: Keep, drawn: list[tuple[int, int]], until: int, grown: float
) -> None:
    runs.judge("bad", range(0, 10 * STEP, STEP))
    keeper = keep(baseline(run="bad"))
    grown_by(runs, ("bad", until - 10, grown))
    keeper.run(NOW)
    drawn.clear()
    grown_by(runs, ("bad", HOLD, grown))
    keeper.run(NOW)
    made = [one for one in drawn if one[0]]
    assert made == [(HOLD, len(GOOD) * HOLD)] * COURSES


def test_good_runs_are_held_against_one_another_beyond_the_end_of_the_run(
    runs: Runs, keep: Keep
) -> None:
    leave(runs)
    grown_by(runs, (GOOD[0], 10, 1.0))
    for name in GOOD[1:]:
        grown_by(runs, (name, 10, 9.0 if name == GOOD[5] else 1.0))
    keep(baseline(run="bad")).run(NOW)
    assert runs.alerts() == []


def test_what_comes_late_has_the_run_held_anew(
    runs: Runs, keep: Keep, drawn: list[tuple[int, int]]
) -> None:
    runs.judge("bad", range(0, 20 * STEP, STEP))
    runs.judge("bad", range(30 * STEP, 40 * STEP, STEP), first=30)
    keeper = keep(baseline(run="bad"))
    keeper.run(NOW)
    drawn.clear()
    runs.judge("bad", range(20 * STEP, 30 * STEP, STEP), first=20)
    keeper.run(NOW)
    assert [count for count, _ in drawn if count] == [40] * COURSES


def test_another_number_of_courses_needed_has_the_run_held_anew(
    runs: Runs, keep: Keep, drawn: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.judge("bad", range(0, 20 * STEP, STEP))
    keeper = keep(baseline(run="bad"))
    keeper.run(NOW)
    drawn.clear()
    monkeypatch.setattr(baselines, "required", lambda *told: required(*told) + 1)
    grown_by(runs, ("bad", HOLD, 1.0))
    keeper.run(NOW)
    assert [count for count, _ in drawn if count] == [HOLD] * COURSES + [20 + HOLD] * COURSES
