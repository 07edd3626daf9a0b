"""Steps that two courses have in common: all that are there, or how far was looked for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bifurk_service.api import compared_steps as of_answers
from bifurk_service.api import course_pairs
from bifurk_service.api.partings import parting_of
from bifurk_service.errors import NotFoundError
from bifurk_service.store.common_steps import FEWEST_AT_ONCE, CommonSteps, common_steps, reaches
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.run_lists import run_summary
from bifurk_service.store.series import find_tensors
from bifurk_service.store.snapshot_lists import measured_steps
from bifurk_service.store.timeline import timeline
from bifurk_service.store.whole_steps import count_whole
from tests.compared_runs import write_attempt, write_run
from tests.database import fresh_database
from tests.instructions import instructions_of

SHORT: Final = 120
LONG: Final = 300
EVEN, ODD, LONG_EVEN, LONG_ODD, RESUMED, ENDED_APART = range(1, 7)
"""Ids of runs; no step of an even one is an odd one's."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    found = fresh_database(tmp_path_factory.mktemp("common"))
    runs: dict[str, Sequence[Sequence[int]]] = {
        "even": [range(0, 2 * SHORT, 2)],
        "odd": [range(1, 2 * SHORT, 2)],
        "long even": [range(0, 2 * LONG, 2)],
        "long odd": [range(1, 2 * LONG, 2)],
        "resumed": [range(0, 90, 3), [60, 61, 64, 70], range(71, 300, 5)],
        "ended apart": [[*range(0, 40, 2), *range(41, 2 * SHORT, 2)]],
    }
    for name, attempts in runs.items():
        write_run(found, name)
        for number, steps in enumerate(attempts):
            write_attempt(found, name, f"attempt {number}", steps, {})
    yield found
    found.close()


def asked(session: Session, this: int, other: int, **how: Any) -> CommonSteps:
    return common_steps(
        session, *(reaches(session, timeline(session, one)) for one in (this, other)), **how
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pair=st.tuples(st.sampled_from(range(1, 7)), st.sampled_from(range(1, 7))),
    limit=st.integers(1, 60),
    between=st.tuples(st.integers(0, 120), st.none() | st.integers(0, 300)),
    newest=st.booleans(),
    most=st.integers(1, 2_000),
)
def test_what_is_found_is_all_as_far_as_was_looked(
    database: Database,
    pair: tuple[int, int],
    limit: int,
    between: tuple[int, int | None],
    newest: bool,
    most: int,
) -> None:
    first, last = between
    with database.read() as session:
        steps = [set(measured_steps(session, one)) for one in pair]
        found = asked(
            session, *pair, limit=limit, first=first, last=last, newest=newest, most_looked_at=most
        )
    every = sorted(
        (one for one in steps[0] & steps[1] if first <= one <= (one if last is None else last)),
        reverse=newest,
    )
    if found.until is None:
        assert list(found.steps) == every[:limit]
        return
    seen = [one for one in every if (one >= found.until if newest else one <= found.until)]
    assert list(found.steps) == seen
    assert len(seen) < limit


def test_steps_that_lie_among_each_other_are_looked_at_up_to_a_bound(database: Database) -> None:
    look = partial(asked, limit=1, newest=True, most_looked_at=FEWEST_AT_ONCE)
    with database.read() as session:
        short = instructions_of(session, lambda: look(session, EVEN, ODD))
        long = instructions_of(session, lambda: look(session, LONG_EVEN, LONG_ODD))
        assert long <= 1.1 * short, (short, long)
        assert look(session, LONG_EVEN, LONG_ODD) == CommonSteps(
            steps=[], until=2 * (LONG - FEWEST_AT_ONCE)
        )


def test_that_all_were_looked_at_is_said_only_where_they_were(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "have no step in common: run 1 has 120 from 0 to 238" in refused(database, EVEN, ODD)
    monkeypatch.setattr(of_answers, "common_steps", partial(common_steps, most_looked_at=16))
    said = refused(database, EVEN, ODD)
    assert "no step in common from step 208 on, and earlier ones were not looked at: run 1" in said


def refused(database: Database, this: int, other: int) -> str:
    with database.read() as session:
        runs = run_summary(session, this), run_summary(session, other)
        with pytest.raises(NotFoundError) as error:
            of_answers.compared_steps(session, runs, (None, None), (None, None))
    return error.value.detail


@pytest.mark.parametrize(("other", "is_exact"), [(ODD, True), (ENDED_APART, True), (ODD, False)])
def test_where_none_of_the_newest_steps_is_common_nothing_is_said_of_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch, other: int, is_exact: bool
) -> None:  # fmt: skip
    if not is_exact:
        monkeypatch.setattr(course_pairs, "common_steps", partial(common_steps, most_looked_at=16))
    with database.read() as session:
        sides = [(run, find_tensors(session, run)) for run in (EVEN, other)]
        whole, found = parting_of(session, *sides), parting_of(session, *sides, most_points=0)
    assert found.exact == is_exact
    assert found.common_steps == (0 if is_exact and other == ODD else None)
    assert found.first_step == whole.first_step


def test_how_many_are_whole_is_reckoned_of_what_the_course_has(database: Database) -> None:
    with database.read() as session:
        for run in range(1, 7):
            course = timeline(session, run)
            assert count_whole(session, course) == len(measured_steps(session, run))
