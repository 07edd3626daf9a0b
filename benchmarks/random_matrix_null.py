"""What pure noise reads as: outliers in matrices that have none, and spikes that are there.

Random matrices of six kinds, seeds fixed here, on two processes: the share in which the biwhitened
spectrum shows an outlier, beside what the raw one shows; then rank-one spikes at 1.35 and 1.5 times
the strength from which on a spike can be seen at all (Benaych-Georges and Nadakuditi 2012: sigma
(p n)^(1/4)). About twelve minutes. ``--draws 100`` for a quick look; ``--calibrate`` simulates
the table in ``stats/spectra/noise_bulk_null.py`` instead, on seeds of its own.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import NamedTuple

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
from claims import Claim, report
from numpy.typing import NDArray

from bifurk_service.stats.spectra.noise_bulk import BulkFit
from bifurk_service.stats.spectra.spectrum import MatrixSpectrum, measure_spectrum

SEED = 20_261_127
CALIBRATION_SEED = 7
FALSE_ALARMS = 0.015
FALSE_ALARMS_LARGEST = 6 / 200
CHUNK = 25
NULL_SIZES = ((128, 256, 2_000), (256, 256, 2_000), (256, 1_024, 2_000), (768, 3_072, 200))
SPIKE_SIZES = ((128, 256, 400), (256, 256, 400), (256, 1_024, 400), (768, 3_072, 100))
CALIBRATED_SIDES = (32, 64, 128, 256)
CALIBRATED_ASPECTS = (1 / 64, 1 / 16, 1 / 4, 1 / 2, 3 / 4, 0.9, 1.0)
CALIBRATED_DRAWS = 1_000
LARGEST_CALIBRATED = 1 << 18

Rng = np.random.Generator
Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cell:
    """Matrices of one kind and size, with a spike of ``spike`` times the threshold (0: none)."""

    kind: str
    rows: int
    columns: int
    draws: int
    spike: float = 0.0
    seed: int = SEED


class Counts(NamedTuple):
    """Outliers at both ends, biwhitened and raw (None: no bulk of noise), and p times KS."""

    white: int
    raw: int | None
    distance_times_side: float


def main() -> int:
    """Simulates and reports; 0 when every target is met."""
    asked = _options()
    cells = list(_calibration() if asked.calibrate else _cells())
    if asked.seed is not None:
        cells = [replace(cell, seed=asked.seed) for cell in cells]
    if asked.draws is not None:
        cells = [replace(cell, draws=min(asked.draws, cell.draws)) for cell in cells]
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        found = {cell: [pool.submit(_measure, *job) for job in _jobs(cell)] for cell in cells}
        results = {
            cell: [row for job in jobs for row in job.result()] for cell, jobs in found.items()
        }
    if asked.calibrate:
        _print_table(results)
        return 0
    return report(
        [claim for cell, rows in results.items() for claim in _claims(cell, rows)],
        as_json=asked.json,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a claim")
    parser.add_argument("--draws", type=int, default=None, help="at most this many a cell")
    parser.add_argument("--seed", type=int, default=None, help="other draws, to develop with")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--calibrate", action="store_true", help="the null of the KS distance")
    return parser.parse_args()


def _cells() -> Iterator[Cell]:
    for rows, columns, draws in NULL_SIZES:
        for kind in KINDS:
            yield Cell(kind, rows, columns, draws)
    for rows, columns, draws in SPIKE_SIZES:
        for kind in ("Gaussian", "Student-3"):
            for spike in (1.35, 1.5):
                yield Cell(kind, rows, columns, draws, spike)


def _calibration() -> Iterator[Cell]:
    for aspect in CALIBRATED_ASPECTS:
        for side in CALIBRATED_SIDES:
            if side * side / aspect <= LARGEST_CALIBRATED:
                columns = round(side / aspect)
                yield Cell("Gaussian", side, columns, CALIBRATED_DRAWS, seed=CALIBRATION_SEED)


def _jobs(cell: Cell) -> Iterator[tuple[Cell, range]]:
    for begin in range(0, cell.draws, CHUNK):
        yield cell, range(begin, min(begin + CHUNK, cell.draws))


def _measure(cell: Cell, draws: range) -> list[Counts]:
    """Of each draw."""
    return [_counts(measure_spectrum(_drawn(cell, draw))) for draw in draws]


def _counts(spectrum: object) -> Counts:
    assert isinstance(spectrum, MatrixSpectrum)
    white, raw = spectrum.biwhitened, spectrum.raw
    assert isinstance(white, BulkFit), white
    return Counts(
        white=white.above + white.below,
        raw=raw.above + raw.below if isinstance(raw, BulkFit) else None,
        distance_times_side=white.ks_distance * white.short,
    )


def _drawn(cell: Cell, draw: int) -> Matrix:
    place = (cell.rows, cell.columns, list(KINDS).index(cell.kind), round(100 * cell.spike))
    rng = np.random.default_rng([cell.seed, *place, draw])
    noise = KINDS[cell.kind](rng, (cell.rows, cell.columns))
    if not cell.spike:
        return noise.astype(np.float32)
    sides = [rng.normal(size=side) for side in (cell.rows, cell.columns)]
    left, right = (side / np.linalg.norm(side) for side in sides)
    threshold = noise.std() * (cell.rows * cell.columns) ** 0.25
    return (noise + cell.spike * threshold * np.outer(left, right)).astype(np.float32)


def _student(freedom: int) -> Callable[[Rng, tuple[int, int]], NDArray[np.floating]]:
    return lambda rng, shape: rng.standard_t(freedom, size=shape)


def _scaled(rng: Rng, shape: tuple[int, int]) -> NDArray[np.floating]:
    rows, columns = (rng.lognormal(0, 0.7, size=side) for side in shape)
    return rng.normal(size=shape) * rows[:, None] * columns


def _rounded(rng: Rng, shape: tuple[int, int]) -> NDArray[np.floating]:
    """To bfloat16: the upper half of a float32, to nearest, ties to even."""
    bits = (0.02 * rng.normal(size=shape)).astype(np.float32).view(np.uint32)
    bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


KINDS: dict[str, Callable[[Rng, tuple[int, int]], NDArray[np.floating]]] = {
    "Gaussian": lambda rng, shape: rng.normal(size=shape),
    "Student-3": _student(3),
    "Student-5": _student(5),
    "lognormal(.7) row and column scales": _scaled,
    "uniform": lambda rng, shape: rng.uniform(-1, 1, size=shape),
    "Gaussian in bfloat16": _rounded,
}


def _claims(cell: Cell, rows: list[Counts]) -> Iterator[Claim]:
    white = np.array([row.white for row in rows])
    raw = np.array([row.raw for row in rows if row.raw is not None])
    size = f"{cell.rows}x{cell.columns}, {cell.kind}"
    if cell.spike:
        yield Claim(
            claim=f"{size}: spike at {cell.spike:g}x found, of {len(rows)}",
            value=float(np.mean(white > 0)),
            unit="",
            target=_power_target(cell),
            better="higher",
        )
        return
    largest = cell.rows == 768
    yield Claim(
        claim=f"{size}: with a biwhitened outlier, of {len(rows)}",
        value=float(np.mean(white > 0)),
        unit="",
        target=FALSE_ALARMS_LARGEST if largest else FALSE_ALARMS,
    )
    without = len(rows) - raw.size
    yield Claim(
        claim=f"{size}: with a raw outlier, or no raw bulk at all",
        value=float(np.count_nonzero(raw) + without) / len(rows),
        unit="",
    )
    yield Claim(claim=f"{size}: without a raw bulk", value=without / len(rows), unit="")
    if raw.size:
        yield Claim(claim=f"{size}: raw outliers a matrix", value=float(raw.mean()), unit="")


def _power_target(cell: Cell) -> float | None:
    if cell.spike == 1.5:
        return 0.95
    return {(256, 1_024): 0.90, (768, 3_072): 0.95}.get((cell.rows, cell.columns))


def _print_table(results: dict[Cell, list[Counts]]) -> None:
    """The 99 % point of p times the KS distance, and its straight line in ln p, by p/n."""
    for aspect in CALIBRATED_ASPECTS:
        points = {
            cell.rows: float(np.quantile([row.distance_times_side for row in rows], 0.99))
            for cell, rows in results.items()
            if abs(cell.rows / cell.columns - aspect) < 0.01 * aspect
        }
        slope, level = np.polyfit(np.log(np.array(list(points)) / 64), list(points.values()), 1)
        told = ", ".join(f"{side}: {point:.2f}" for side, point in points.items())
        print(f"p/n {aspect:.4f}: {told}")
        print(f"    {aspect:.6g}: ({level:.2f}, {slope:.2f}),", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
