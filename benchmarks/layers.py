"""Figures of docs/methods/motion.md and profiles.md: standard errors, cluster drift, tail gates.

    python benchmarks/layers.py            # a minute of one core
    python benchmarks/layers.py --quick    # one seed, fewer draws

Fixed seeds; nothing is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk_service.stats.layers.profile import (
    ProfileTensor,
    SpectralClusters,
    leading_value_profile,
    spectral_cluster_drift,
    spectral_cluster_profile,
)
from bifurk_service.stats.layers.tail import TailFit, fit_tail
from bifurk_service.stats.motion.motion_statistics import Compared, motion_statistics
from bifurk_service.stats.value import NoValue

Matrices = dict[tuple[int, str], NDArray[np.float64]]

LAYERS, WIDTH = 12, 256
SHAPES = {
    "attention.query": (WIDTH, WIDTH),
    "attention.key": (WIDTH, WIDTH),
    "attention.value": (WIDTH, WIDTH),
    "attention.output": (WIDTH, WIDTH),
    "mlp.up": (4 * WIDTH, WIDTH),
    "mlp.down": (WIDTH, 4 * WIDTH),
}
STD = 0.02
SAMPLED, ELEMENTS = 4_096, 400_000


def initial(rng: np.random.Generator) -> Matrices:
    return {
        (layer, role): STD * rng.normal(size=shape)
        for layer in range(LAYERS)
        for role, shape in SHAPES.items()
    }


def noisy(matrices: Matrices, rng: np.random.Generator, size: float) -> Matrices:
    return {at: w + size * STD * rng.normal(size=w.shape) for at, w in matrices.items()}


def spiked(matrices: Matrices, rng: np.random.Generator, spikes: dict[str, float]) -> Matrices:
    """With a random rank-one term of this many times the spectral norm."""
    found = {}
    for at, w in matrices.items():
        left, right = (rng.normal(size=side) for side in w.shape)
        unit = np.outer(left / np.linalg.norm(left), right / np.linalg.norm(right))
        found[at] = w + spikes.get(at[1], 0.0) * np.linalg.norm(w, 2) * unit
    return found


def tensors(matrices: Matrices) -> list[ProfileTensor]:
    return [
        ProfileTensor(
            name=f"h.{layer}.{role}",
            layer=layer,
            role=role,
            values={},
            singular_values=np.linalg.svd(w, compute_uv=False),
        )
        for (layer, role), w in matrices.items()
    ]


def clusters(matrices: Matrices, rank: int) -> SpectralClusters:
    found = spectral_cluster_profile(tensors(matrices), rank=rank)
    assert not isinstance(found, NoValue), found
    return found


def cluster_drift(seeds: int) -> None:
    print(f"\ncluster drift, r = 16, mean over {seeds} seeds: composition, moved, reclustered")
    rows: dict[str, list[tuple[float, ...]]] = {}
    verdicts = roles = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        first = initial(rng)
        parted = spiked(
            first, rng, {"attention.query": 1.5, "attention.key": 1.5, "attention.value": 3.0}
        )
        some_lost = parted | {
            at: w for at, w in first.items() if at[1] == "attention.key" and at[0] < 3
        }
        cases = {
            "initialisation + 1 % noise": (noisy(first, rng, 0.01), first),
            "initialisation + 10 % noise": (noisy(first, rng, 0.1), first),
            "another initialisation": (initial(rng), first),
            "spiked + 1 % noise": (noisy(parted, rng, 0.01), parted),
            "spiked + 10 % noise": (noisy(parted, rng, 0.1), parted),
            "3 of 12 keys without spike": (some_lost, parted),
            "initialisation to spiked": (parted, first),
        }
        for name, (now, then) in cases.items():
            drift = spectral_cluster_drift(clusters(now, 16), clusters(then, 16))
            found = (drift.composition, drift.moved, drift.reclustered)
            assert not any(isinstance(value, NoValue) for value in found)
            rows.setdefault(name, []).append(found)  # type: ignore[arg-type]
        for profile in leading_value_profile(tensors(first)):
            verdicts += isinstance(profile.distance_tail, TailFit)
            roles += 1
    for name, found_by_seed in rows.items():
        print(f"  {name:30}", *(f"{value:.3f}" for value in np.mean(found_by_seed, axis=0)))
    print(f"  initialisation: {verdicts} of {roles} roles have a verdict on the distances' tail")


def tails(draws: int) -> None:
    print(f"\ntail verdicts of {draws} draws of 1,000 values: share, exponent, its spread, stderr")
    laws: dict[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
        "Pareto, exponent 3": lambda rng: 1 + rng.pareto(2, 1_000),
        "lognormal": lambda rng: rng.lognormal(0, 1, 1_000),
        "exponential": lambda rng: rng.exponential(size=1_000),
        "half-normal": lambda rng: np.abs(rng.normal(size=1_000)),
    }
    for name, law in laws.items():
        fits = [fit_tail(law(np.random.default_rng(seed))) for seed in range(draws)]
        told = [(fit.exponent, fit.stderr) for fit in fits if isinstance(fit, TailFit)]
        if told:
            exponents, errors = np.array(told).T
            numbers = (exponents.mean(), exponents.std(), errors.mean())
            print(f"  {name:30}{len(told) / draws:.2f}", *(f"{value:.2f}" for value in numbers))
        else:
            print(f"  {name:30}0.00")


def standard_errors(draws: int) -> None:
    print(f"\nmean told error over actual spread, {draws} stratified samples of {SAMPLED}")
    size = ELEMENTS
    laws: dict[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
        "Gaussian": lambda rng: rng.normal(size=size),
        "Laplace": lambda rng: rng.laplace(size=size),
        "two scales": lambda rng: (
            rng.normal(size=size) * np.where(rng.uniform(size=size) < 0.03, 3, 0.2)
        ),
        "Student-3": lambda rng: rng.standard_t(3, size),
    }
    names = ("update_ratio", "cosine_to_first", "std_ratio_to_first")
    starts, width = np.arange(SAMPLED) * size // SAMPLED, size // SAMPLED
    for name, law in laws.items():
        rng = np.random.default_rng(0)
        first = STD * law(rng)
        now = first + 0.1 * STD * rng.normal(size=size) + 0.05 * np.abs(first)
        told = np.empty((draws, len(names), 2))
        for draw in range(draws):
            at = starts + rng.integers(0, width, SAMPLED)
            compared = Compared(
                now=Exact(dtype="float64", data=now[at]),
                then=Exact(dtype="float64", data=first[at]),
            )
            found = motion_statistics(
                previous=compared, first=compared, size=size, steps_since_previous=1
            )
            told[draw] = [(found[one], found[f"{one}_stderr"]) for one in names]
        ratios = told[:, :, 1].mean(axis=0) / told[:, :, 0].std(axis=0, ddof=1)
        relative = told[:, 0, 1].mean() / told[:, 0, 0].mean()
        print(f"  {name:30}", *(f"{ratio:.2f}" for ratio in ratios), f"{relative:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, fewer draws")
    quick = parser.parse_args().quick
    standard_errors(100 if quick else 400)
    tails(50 if quick else 300)
    cluster_drift(1 if quick else 5)


if __name__ == "__main__":
    main()
