"""Four trainings and a service of which everything is killed in turn, over a network that fails.

`make soak` does the same for longer, with another seed each time.
"""

from __future__ import annotations

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
SNAPSHOTS = len(CLIENTS) * (STEPS + 1)
SEED = 20261126
FAULT_CHANCE = 0.08
"""Of a request."""
PACE_SECONDS = 0.05
LONGEST_SECONDS = 0.5
BUSY_MACHINE_SECONDS = 900
"""It takes two minutes on two cores where nothing else runs."""

pytestmark = pytest.mark.timeout(BUSY_MACHINE_SECONDS)


def soaked(stack: Stack, folder: Path, *, blows: int) -> Evidence:
    """What a stack has made of four trainings under blows; fails where anything went astray."""
    soak = Soak(
        stack,
        folder,
        steps=STEPS,
        pace_seconds=PACE_SECONDS,
        chance=FAULT_CHANCE,
        seed=SEED,
    )
    plan = draw_plan(
        SEED,
        victims=[*stack.victims, NETWORK],
        parts=SNAPSHOTS,
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
def small(folder: Path) -> Evidence:
    """What one process on SQLite made of it."""
    with one_process(folder / "one") as stack:
        return soaked(stack, folder / "clients", blows=6)


@pytest.fixture(scope="module")
def reference(small: Evidence, folder: Path) -> Evidence:
    """What comes of the same parts when nothing happens."""
    del small
    return undisturbed(folder / "clients", folder / "undisturbed")


def test_one_process_that_is_killed_analyses_all_it_acknowledged_once(
    small: Evidence, reference: Evidence
) -> None:
    assert SNAPSHOTS >= 300
    assert small.differences(reference) == []
    kinds = {(run, alert["kind"]) for (run, _), alert in reference.alerts.items()}
    assert ("broken", "non_finite") in kinds
    assert {run for run, _ in kinds} >= {"scaled", "spread"}, "there is something to compare"


def test_so_do_a_server_workers_and_a_database_that_are_killed(
    reference: Evidence, folder: Path
) -> None:
    with several_processes(folder / "several", workers=2) as stack:
        found = soaked(stack, folder / "other-clients", blows=9)
    assert found.differences(reference, leave_out=("parts",)) == []
