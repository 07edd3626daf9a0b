"""The page of branches draws long runs from what is condensed, and loses no extreme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest

from bifurk_service.access.requiring import ANYONE
from bifurk_service.pages import branch_reading
from bifurk_service.pages.branch_courses import ChosenLayers, chosen_layers
from bifurk_service.pages.branch_reading import read_layers, read_profiles
from bifurk_service.pages.branches import get_trajectories
from bifurk_service.pages.courses import CourseCache
from bifurk_service.pages.views import BranchesView
from bifurk_service.store.engine import Database
from bifurk_service.store.models import StoredAlert
from tests.compared_runs import condense_all, write_attempt, write_run
from tests.database import fresh_database

LENGTH: Final = 600
SPIKE: Final = 277
ONSETS: Final = (1_230, 4_560)
POINTS: Final = 24


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A run of two layers that went back to step 4000; a statistic that is rarely there."""
    found = fresh_database(tmp_path_factory.mktemp("branches"))
    random = np.random.default_rng(3)
    std = 0.02 * np.exp(0.02 * random.standard_normal((3, LENGTH)))
    std[0, SPIKE] *= 9.0
    rare = np.where(random.random((3, LENGTH)) < 0.03, std, np.nan)
    values = {"std": std, "stable_rank": rare}
    every = [10 * place for place in range(LENGTH)]
    write_run(found, "long")
    write_attempt(found, "long", "first", every[:430], {k: v[:, :430] for k, v in values.items()})
    write_attempt(found, "long", "second", every[400:], {k: v[:, 400:] for k, v in values.items()})
    condense_all(found)
    yield found
    found.close()


@pytest.fixture
def request_of(database: Database) -> Any:
    state = SimpleNamespace(services=SimpleNamespace(database=database), courses=CourseCache())
    return SimpleNamespace(app=SimpleNamespace(state=state), scope={"root_path": ""})


def both(monkeypatch: pytest.MonkeyPatch, read: Any, *arguments: Any) -> tuple[Any, Any]:
    """What is read value by value, and in fewer points."""
    whole = read(*arguments)
    monkeypatch.setattr(branch_reading, "MOST_POINTS", POINTS)
    return whole, read(*arguments)


def found_in(request_of: Any, view: BranchesView) -> ChosenLayers:
    found = chosen_layers(request_of, ANYONE, 1, view)
    assert found is not None
    return found


@pytest.mark.parametrize("statistic", ["std", "stable_rank"])
@pytest.mark.parametrize("shown", ["value", "relative"])
def test_fewer_points_keep_the_extremes(
    request_of: Any, monkeypatch: pytest.MonkeyPatch, statistic: str, shown: Any
) -> None:
    view = BranchesView(stat=statistic, values=shown)
    found = found_in(request_of, view)
    whole, fewer = both(monkeypatch, read_layers, request_of, found, view)
    for one, outlined in zip(whole, fewer, strict=True):
        every, course = one.course, outlined.course
        assert outlined.is_outlined
        assert not one.is_outlined
        assert len(course.steps) <= POINTS + 2
        known = dict(zip(every.steps.tolist(), every.values.tolist(), strict=True))
        assert course.values.tolist() == [known[step] for step in course.steps.tolist()]
        assert (course.values.min(), course.values.max()) == (
            every.values.min(),
            every.values.max(),
        )


def test_what_is_looked_at_is_read_whole(request_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    view = BranchesView.model_validate({"stat": "std", "from": 3_700, "to": 4_300})
    whole, fewer = both(monkeypatch, read_layers, request_of, found_in(request_of, view), view)
    for one, outlined in zip(whole, fewer, strict=True):
        steps = one.course.steps
        close = steps[(steps >= 3_700) & (steps <= 4_300)]
        assert np.isin(close, outlined.course.steps).all()
        assert len(outlined.course.steps) < len(close) + POINTS + 2


@pytest.mark.parametrize("statistic", ["std", "stable_rank"])
@pytest.mark.parametrize("shown", ["value", "relative"])
@pytest.mark.parametrize(
    "asked", [{}, {"at": "2777"}, {"at": "0"}, {"from": 1_111, "to": 4_321}, {"to": 9**15}]
)
def test_profiles_are_of_the_same_steps(
    request_of: Any,
    monkeypatch: pytest.MonkeyPatch,
    statistic: str,
    shown: Any,
    asked: dict[str, Any],
) -> None:
    view = BranchesView.model_validate({"stat": statistic, "values": shown, **asked})
    whole, fewer = both(monkeypatch, read_profiles, request_of, found_in(request_of, view), view)
    assert fewer.at.step == whole.at.step
    np.testing.assert_array_equal(fewer.at.values, whole.at.values)
    assert (fewer.first is None) == (whole.first is None)
    if whole.first is not None:
        assert fewer.first.step == whole.first.step
        np.testing.assert_array_equal(fewer.first.values, whole.first.values)


def test_rings_stand_where_layers_began(request_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    view = BranchesView(stat="std")
    found = found_in(request_of, view)
    named = [
        {"id": tensor.id, "onset_first_step": 0, "onset_last_step": step, "branch": 0}
        for tensor, step in zip(found.chosen.group.tensors, ONSETS, strict=True)
    ]
    fork = StoredAlert(kind="branch_split", tensors=named)
    found = replace(found, chosen=replace(found.chosen, fork=fork))
    whole, fewer = both(monkeypatch, read_layers, request_of, found, view)
    for one, outlined, step in zip(whole, fewer, ONSETS, strict=True):
        every = dict(zip(one.course.steps.tolist(), one.course.values.tolist(), strict=True))
        place = outlined.course.steps.tolist().index(step)
        assert outlined.course.values[place] == every[step]


def test_the_title_says_that_points_are_left_out(
    request_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def title(view: BranchesView) -> str:
        return str(get_trajectories(request_of, ANYONE, 1, view).body)

    view = BranchesView(stat="std")
    assert "extremes of stretches" not in title(view)
    monkeypatch.setattr(branch_reading, "MOST_POINTS", POINTS)
    assert ", h.*.w; extremes of stretches" in title(view)
