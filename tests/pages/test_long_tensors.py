"""The page of a tensor draws long runs from what is condensed, loses no extreme and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest

from bifurk_service.pages import tensor_course, tensor_steps
from bifurk_service.pages.tensor_course import READ, grid_of, read_course
from bifurk_service.pages.tensor_reading import over_steps, plant
from bifurk_service.pages.views import TensorView
from bifurk_service.stats.distributions.from_quantiles import PROBABILITIES
from bifurk_service.store import tensor_spans
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Tensor
from tests.compared_runs import condense_all, write_attempt, write_run
from tests.database import fresh_database
from tests.instructions import instructions_of

SHORT, LONG = 180, 720
SPIKE: Final = 333
GAUSSIAN: Final = (-3.09, -2.33, -1.64, -0.67, 0.0, 0.67, 1.64, 2.33, 3.09)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Two runs, a short and a long one, whose quantiles wander; one snapshot is far off."""
    found = fresh_database(tmp_path_factory.mktemp("tensors"))
    random = np.random.default_rng(4)
    std = np.exp(0.02 * random.standard_normal((3, LONG)).cumsum(axis=1))
    std[0, SPIKE] *= 40.0
    values = {name: at * std for name, at in zip(PROBABILITIES, GAUSSIAN, strict=True)}
    values |= {"std": std, "min": -4 * std, "max": 4 * std, "count": np.full_like(std, 4096.0)}
    values |= {"update_ratio": 1e-3 * std, "abs_quantile_p50": std, "abs_quantile_p99": 3 * std}
    values["nonfinite_count"] = np.where(np.arange(LONG) == 500, 7.0, 0.0) * np.ones((3, 1))
    values["dip_ratio"] = np.where(np.arange(LONG) % 3, 0.5, 2.0) * np.ones((3, 1))
    for name, length in (("short", SHORT), ("long", LONG)):
        write_run(found, name)
        steps = [10 * place for place in range(length)]
        some = {one: table[:, :length] for one, table in values.items()}
        write_attempt(found, name, "first", steps, some)
    condense_all(found)
    yield found
    found.close()


@pytest.fixture
def outlined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is a long run, drawn in few points."""
    monkeypatch.setattr(tensor_spans, "MOST_SINGLE", 100)
    monkeypatch.setattr(tensor_spans, "SINGLE_A_TENSOR", 0)
    monkeypatch.setattr(tensor_course, "MOST_POINTS", 24)
    monkeypatch.setattr(tensor_steps, "CLOSE", 30)
    monkeypatch.setattr(tensor_steps, "OF_AN_OCTAVE", 8)


VIEWS: Final[dict[str, dict[str, Any]]] = {
    "all": {},
    "logarithmic": {"axis": "log", "span": "all"},
    "a stretch": {"from": 700, "to": 1_300, "unit": "log_magnitude"},
    "in deviations": {"unit": "sigma"},
}


@pytest.mark.usefixtures("outlined")
@pytest.mark.parametrize("asked", VIEWS.values(), ids=VIEWS)
def test_lines_keep_the_extremes(database: Database, asked: dict[str, Any]) -> None:
    view = TensorView(**asked)
    with database.read() as session:
        whole = read_course(session, 2, 4)
        seen = over_steps(session, 2, 4, view)
    assert seen.is_outlined
    assert len(seen.course.steps) < LONG / 2
    thin, every = seen.course.thinned(view), whole.thinned(view)
    assert len(thin.steps) <= 2 * 24
    for name in READ:
        np.testing.assert_array_equal(_ends(thin.values[name]), _ends(every.values[name]))
    assert thin.values["std"].max() == whole.values["std"].max()
    assert thin.values["nonfinite_count"].max() == 7.0
    assert grid_of(seen.course, view) == grid_of(whole, view)


def _ends(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (known.min(), known.max()) if known.size else (np.nan, np.nan)


@pytest.mark.usefixtures("outlined")
def test_a_stretch_that_is_looked_at_closely_is_read_whole(database: Database) -> None:
    view = TensorView.model_validate({"from": 3_200, "to": 3_400})
    with database.read() as session:
        whole = read_course(session, 2, 4).between(3_200, 3_400)
        seen = over_steps(session, 2, 4, view).course.thinned(view).between(3_200, 3_400)
    np.testing.assert_array_equal(seen.steps, whole.steps)
    np.testing.assert_array_equal(seen.values["std"], whole.values["std"])


@pytest.mark.usefixtures("outlined")
def test_what_is_left_out_is_said(database: Database) -> None:
    services = SimpleNamespace(database=database)
    request: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(services=services)))
    view = TensorView()
    with database.read() as session:
        seen = over_steps(session, 2, 4, view)
        tensor = session.get_one(Tensor, 4)
        tensor.piece_of = 5
        session.expunge(tensor)
    grid = grid_of(seen.course, view)
    assert grid is not None
    planted = plant(request, 2, tensor, seen, grid=grid, view=view)
    assert planted.how == f"from stored quantiles at {len(planted.steps)} of about 720 snapshots"
    assert 15 <= len(planted.steps) <= 31
    assert np.isfinite(planted.densities).all()
    np.testing.assert_array_equal(planted.dips, np.where(planted.steps % 30, 0.5, 2.0))


@pytest.mark.usefixtures("outlined")
@pytest.mark.parametrize("asked", VIEWS.values(), ids=VIEWS)
def test_a_longer_run_takes_no_longer(database: Database, asked: dict[str, Any]) -> None:
    view = TensorView(**asked)
    short, long = (
        counted(database, lambda s, run=run, tensor=tensor: over_steps(s, run, tensor, view))
        for run, tensor in ((1, 1), (2, 4))
    )
    assert long < 1.5 * short + 20, (short, long)


def counted(database: Database, query: Callable[[Any], Any]) -> int:
    with database.read() as session:
        return instructions_of(session, lambda: query(session))
