"""Where two runs part: how often seeds alone pass for it, and whether a fault is found at its step.

    python benchmarks/parting.py

Small GPTs on the standard library's sources, seeds that set none of the levels; all pairs of sound
runs, and one run with the demo's fault (the matrices of block 2 times 3 at step 180) against each.
Two minutes on a quiet core; ``--rounds 2`` takes two seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from claims import Claim, options, report
from numpy.typing import NDArray
from torch import nn

from bifurk_service.demo import tiny_gpt
from bifurk_service.demo.runs import FAULT_BLOCK, FAULT_STEP, TinyGpt
from bifurk_service.stats.parting import MATRIX_DIMENSIONS, Course, compare_courses

SEEDS: Final = (4, 5, 6, 7)
STEPS: Final = 240
EVERY: Final = 10
FAULTY: Final = f"blocks.{FAULT_BLOCK}."


def courses(training: TinyGpt) -> dict[str, Course]:
    """The compared statistics of every matrix over one training."""
    models: list[nn.Module] = []

    @contextmanager
    def watch(model: nn.Module, _optimizer: Any) -> Iterator[Any]:
        models.append(model)
        yield SimpleNamespace(log=lambda **_: None)

    steps: list[int] = []
    rows: dict[str, list[list[float]]] = {}
    before: dict[str, NDArray[np.float64]] = {}
    for done in tiny_gpt.train(training, watch=watch):
        if done.step % EVERY == 0:
            steps.append(done.step)
            for name, parameter in models[0].named_parameters():
                if parameter.ndim >= MATRIX_DIMENSIONS:
                    now = parameter.detach().numpy().astype(np.float64)
                    rows.setdefault(name, []).append(statistics(now, before.get(name)))
                    before[name] = now
    return {
        name: Course(steps=np.array(steps, dtype=np.int64), values=np.array(values))
        for name, values in rows.items()
    }


def statistics(now: NDArray[np.float64], then: NDArray[np.float64] | None) -> list[float]:
    """What ``stats.parting.LEVELS`` names, in its order."""
    rms, centred = np.sqrt(np.mean(now**2)), now - now.mean()
    moved = np.nan if then is None else np.sqrt(np.mean((now - then) ** 2) / EVERY) / rms
    singular = np.linalg.svd(now, compute_uv=False)
    return [
        0.0,
        now.std(),
        rms,
        moved,
        np.sum(singular**2) / singular[0] ** 2,
        np.mean(centred**4) / now.std() ** 4 - 3,
    ]


def parted(this: dict[str, Course], other: dict[str, Course]) -> dict[str, int]:
    """Matrices that part, and since which step."""
    found = {name: compare_courses(course, other[name]).parted for name, course in this.items()}
    return {name: statistics[0].step for name, statistics in found.items() if statistics}


def main() -> int:
    """Trains, compares, prints."""
    arguments = options(__doc__)
    torch.set_num_threads(1)
    sound = [courses(TinyGpt(seed=seed, steps=STEPS)) for seed in SEEDS[: arguments.rounds]]
    faulty = courses(TinyGpt(seed=SEEDS[0], steps=STEPS, fault_step=FAULT_STEP))
    seeds_alone = [len(parted(a, b)) for a, b in combinations(sound, 2)]
    against = [parted(faulty, run) for run in sound]
    at_fault = [
        sum(name.startswith(FAULTY) and step == FAULT_STEP for name, step in found.items())
        for found in against
    ]
    elsewhere = [sum(not name.startswith(FAULTY) for name in found) for found in against]
    hit = sum(name.startswith(FAULTY) for name in faulty)
    claims = [
        Claim(claim="matrices of a run", value=len(faulty), unit="matrices"),
        Claim(claim="pairs of sound runs", value=len(seeds_alone), unit="pairs"),
        Claim(claim="seeds alone: parted matrices, mean", value=mean(seeds_alone), unit="matrices"),
        Claim(claim="seeds alone: the worst pair", value=max(seeds_alone), unit="matrices"),
        Claim(claim="fault: matrices that it hit", value=hit, unit="matrices"),
        Claim(claim="fault, same seed: found at its step", value=at_fault[0], unit="matrices",
              target=hit, better="higher"),
        Claim(claim="fault, same seed: parted elsewhere", value=elsewhere[0], unit="matrices"),
        Claim(claim="fault, other seeds: found at its step, mean", value=mean(at_fault[1:]),
              unit="matrices", target=hit, better="higher"),
        Claim(claim="fault, other seeds: parted elsewhere, mean", value=mean(elsewhere[1:]),
              unit="matrices"),
    ]  # fmt: skip
    return report(claims, as_json=arguments.json)


def mean(counts: list[int]) -> float:
    """Of counts; 0 where there are none."""
    return sum(counts) / max(1, len(counts))


if __name__ == "__main__":
    sys.exit(main())
