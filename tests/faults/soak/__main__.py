"""A soak by hand: `python -m tests.faults.soak --seed 1 --minutes 5`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.soak.checks import problems
from tests.faults.soak.clustered import clustered
from tests.faults.soak.monkey import NETWORK, Soak
from tests.faults.soak.plan import draw_plan
from tests.faults.soak.stacks import one_process, several_processes
from tests.faults.soak.training import CLIENTS
from tests.faults.soak.undisturbed import settled, undisturbed

STACKS = {
    "one": one_process,
    "cluster": clustered,
    "several": lambda folder: several_processes(folder, workers=2),
}


def main() -> int:
    """The exit status: 0 where nothing was lost, invented, or judged otherwise."""
    told = arguments().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bifurk-soak-"))
    print(f"seed {told.seed}, {told.stack}, in {folder}")
    with STACKS[told.stack](folder / "service") as stack:
        pace = 60.0 * told.minutes / told.steps
        soak = Soak(
            stack,
            folder / "clients",
            steps=told.steps,
            pace_seconds=pace,
            chance=told.chance,
            seed=told.seed,
        )
        plan = draw_plan(
            told.seed,
            victims=[*stack.victims, NETWORK],
            parts=len(CLIENTS) * told.steps,
            blows=told.blows,
            longest_seconds=told.longest,
        )
        began = time.monotonic()
        seen = soak.run(plan)
        print(f"{len(seen.struck)} of {len(plan)} blows, {time.monotonic() - began:.0f} s")
        print(f"network: {dict(seen.network)}")
        found = settled(stack)
        print(f"settled after {time.monotonic() - began:.0f} s")
        wrong = problems(stack, folder / "clients", seen, found, steps=told.steps)
    wrong += found.differences(undisturbed(folder / "clients", folder / "undisturbed"))
    print("\n".join(wrong) or "nothing lost, nothing invented, all the same")
    return bool(wrong)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16), help="of all draws")
    parser.add_argument("--minutes", type=float, default=2.0, help="that the trainings last")
    parser.add_argument("--steps", type=int, default=200, help="snapshots of each of the four")
    parser.add_argument("--blows", type=int, default=20, help="that fall meanwhile")
    parser.add_argument("--longest", type=float, default=3.0, help="seconds that one is gone")
    parser.add_argument("--chance", type=float, default=0.1, help="of a fault a request")
    parser.add_argument("--stack", choices=sorted(STACKS), default="one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
