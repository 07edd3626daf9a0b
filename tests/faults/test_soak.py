"""Trainings and a service of which everything is killed in turn, over a network that fails.

`make soak` does the same for longer, with another seed each time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from tests.faults.soak.checks import problems
from tests.faults.soak.evidence import Evidence
from tests.faults.soak.monkey import NETWORK, Soak
from tests.faults.soak.plan import draw_plan
from tests.faults.soak.stacks import Stack, one_process, several_processes
from tests.faults.soak.training import CLIENTS
from tests.faults.soak.undisturbed import settled, undisturbed

STEPS = 75
TWO = ("scaled", "broken")
"""Trainings that one process on SQLite has: no more happens with all four, it takes longer."""
SEED = 20261126
FAULT_CHANCE = 0.08
"""Of a request."""
PACE_SECONDS = 0.05
LONGEST_SECONDS = 0.5
BUSY_MACHINE_SECONDS = 900
"""It takes two minutes on two cores where nothing else runs."""

pytestmark = pytest.mark.timeout(BUSY_MACHINE_SECONDS)


def soaked(stack: Stack, folder: Path, *, blows: int, kinds: Sequence[str] = CLIENTS) -> Evidence:
    """What a stack has made of trainings under blows; fails where anything went astray."""
    soak = Soak(
        stack,
        folder,
        steps=STEPS,
        pace_seconds=PACE_SECONDS,
        chance=FAULT_CHANCE,
        seed=SEED,
        kinds=kinds,
    )
    plan = draw_plan(
        SEED,
        victims=[*stack.victims, NETWORK],
        parts=len(kinds) * (STEPS + 1),
        blows=blows,
        longest_seconds=LONGEST_SECONDS,
    )
    seen = soak.run(plan)
    assert seen.struck == plan
    found = settled(stack)
    assert problems(stack, folder, seen, found, steps=STEPS) == []
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("soak")


@pytest.fixture(scope="module")
def large(folder: Path) -> Evidence:
    """What a server, two workers and a PostgreSQL made of all four."""
    with several_processes(folder / "several", workers=2) as stack:
        return soaked(stack, folder / "clients", blows=9)


@pytest.fixture(scope="module")
def reference(large: Evidence, folder: Path) -> Evidence:
    """What comes of the same parts when nothing happens."""
    del large
    return undisturbed(folder / "clients", folder / "undisturbed")


def of_runs(found: Evidence, runs: Collection[str]) -> Evidence:
    """What is stored of some runs."""
    return Evidence(
        **{
            one.name: {key: row for key, row in getattr(found, one.name).items() if key[0] in runs}
            for one in fields(found)
        }
    )


def test_a_server_workers_and_a_database_that_are_killed_analyse_all_they_acknowledged_once(
    large: Evidence, reference: Evidence
) -> None:
    assert len(large.parts) >= 300
    assert large.differences(reference) == []
    kinds = {(run, alert["kind"]) for (run, _), alert in reference.alerts.items()}
    assert ("broken", "non_finite") in kinds
    assert {run for run, _ in kinds} >= {"scaled", "spread"}, "there is something to compare"


def test_so_does_one_process_that_is_killed(reference: Evidence, folder: Path) -> None:
    with one_process(folder / "one") as stack:
        found = soaked(stack, folder / "other-clients", blows=6, kinds=TWO)
    assert found.differences(of_runs(reference, TWO), leave_out=("parts",)) == []
    assert {run for run, *_ in found.states} == {*TWO}
