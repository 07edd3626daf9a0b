"""Where long runs part: over what is condensed, as reading every value would tell it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from bifurk_service.api.comparison_shapes import PartingAnswer
from bifurk_service.api.partings import parting_of
from bifurk_service.store.engine import Database
from bifurk_service.store.series import find_tensors
from tests.compared_runs import LONG, condense_all, faulty, usual, write_attempt, write_run
from tests.database import fresh_database
from tests.instructions import instructions_of

SHORT: Final = 140
RESUMED: Final = 90


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    found = fresh_database(tmp_path_factory.mktemp("parted"))
    every = [10 * place for place in range(LONG)]
    for length in (SHORT, LONG):
        for name, values in (("good", usual(length)), ("faulty", faulty(length))):
            write_run(found, f"{name} {length}")
            write_attempt(found, f"{name} {length}", "first", every[:length], values)
    write_run(found, "resumed")
    before, after = usual(RESUMED + 20), {k: v[:, RESUMED:] for k, v in usual(SHORT).items()}
    after["rms"][0, 15:] *= 2.0
    write_attempt(found, "resumed", "first", every[: RESUMED + 20], before)
    write_attempt(found, "resumed", "second", every[RESUMED:SHORT], after)
    write_run(found, "coarse")
    coarse = {name: values[:, ::3] for name, values in usual(LONG).items()}
    coarse["std"][1, 50:] *= 2.0
    write_attempt(found, "coarse", "first", every[::3], coarse)
    condense_all(found)
    yield found
    found.close()


RUNS: Final = {f"good {SHORT}": 1, f"faulty {SHORT}": 2, f"good {LONG}": 3, f"faulty {LONG}": 4,
               "resumed": 5, "coarse": 6}  # fmt: skip


def parting(database: Database, this: str, other: str, **how: Any) -> PartingAnswer:
    with database.read() as session:
        sides = [(RUNS[one], find_tensors(session, RUNS[one])) for one in (this, other)]
        return parting_of(session, *sides, **how)


def told(found: PartingAnswer) -> tuple[Any, ...]:
    return (
        found.first_step,
        found.last_step,
        found.last_together,
        [(one.tensor.name, one.step, one.this, one.other, one.statistics) for one in found.tensors],
    )


PAIRS: Final = (
    (f"faulty {LONG}", f"good {LONG}"), (f"good {LONG}", f"faulty {LONG}"),
    (f"faulty {LONG}", "coarse"), ("coarse", f"good {LONG}"), (f"faulty {SHORT}", f"good {LONG}"),
    ("resumed", f"faulty {SHORT}"), (f"good {LONG}", "resumed"), ("resumed", "coarse"),
)  # fmt: skip


@pytest.mark.parametrize(("this", "other"), PAIRS)
def test_what_is_told_is_what_every_value_tells(database: Database, this: str, other: str) -> None:
    expected = parting(database, this, other)
    found = parting(database, this, other, most_points=0)
    assert told(found) == told(expected)
    assert found.exact
    assert all(one.exact for one in found.tensors)
    assert (expected.first_difference_exact, found.common_steps) == (True, None)
    assert found.first_difference == expected.first_difference


def test_a_fault_is_found_at_its_step(database: Database) -> None:
    found = parting(database, f"faulty {LONG}", f"good {LONG}", most_points=0)
    assert {one.tensor.name: one.step for one in found.tensors} == {
        "h.0.w": 600,
        "h.1.w": 120,
    }
    assert (found.first_difference, found.first_difference_exact) == (120, True)


def test_a_difference_behind_what_was_passed_over_is_the_first_that_was_found(
    database: Database,
) -> None:
    found = parting(database, "resumed", f"good {SHORT}", most_points=0)
    assert (found.first_difference, found.first_difference_exact) == (1050, False)


def test_that_no_difference_was_found_is_not_said_to_be_certain(database: Database) -> None:
    found = parting(database, f"good {LONG}", f"good {SHORT}", most_points=0)
    assert (found.first_difference, found.tensors) == (None, [])
    same = parting(database, f"good {LONG}", f"good {LONG}", most_points=0)
    assert (same.first_difference, same.first_difference_exact) == (None, False)


@pytest.mark.parametrize("budget", [0, 2000, 5000])
def test_what_a_budget_does_not_reach_is_said_to_be_no_later(
    database: Database, budget: int
) -> None:
    this, other = f"faulty {LONG}", "coarse"
    whole = {one.tensor.name: one.step for one in parting(database, this, other).tensors}
    found = parting(database, this, other, most_points=0, budget=budget)
    assert {one.tensor.name for one in found.tensors} == set(whole)
    for one in found.tensors:
        assert (
            one.step == whole[one.tensor.name] if one.exact else one.step >= whole[one.tensor.name]
        )
    assert found.exact == all(one.exact for one in found.tensors)
    if not budget:
        assert not found.exact
        assert not found.first_difference_exact


def test_longer_runs_take_little_longer(database: Database) -> None:
    short, long = (
        asked_of(database, f"faulty {length}", f"good {length}") for length in (SHORT, LONG)
    )
    assert long < 1.5 * short, (short, long)


def asked_of(database: Database, this: str, other: str) -> int:
    with database.read() as session:
        sides = [(RUNS[one], find_tensors(session, RUNS[one])) for one in (this, other)]
        return instructions_of(session, lambda: parting_of(session, *sides, most_points=0))
