"""Spectra beside WeightWatcher 0.7.7, on the same matrices in one interleaved run, one thread each.

The raw pass (singular values, Marchenko-Pastur fit, ranks, power law) and both passes against
``analyze()`` and ``analyze(mp_fit=True)``; how far the numbers that both report differ; every
matrix of a 162-million-parameter model on two processes; peak memory. About three minutes;
``--rounds 1`` for a quick look, ``--reference`` prints the values that
``tests/stats/test_power_law.py`` compares with.
"""

from __future__ import annotations

import os

os.environ.update(
    OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", MPLBACKEND="agg"
)

import logging
import math
import re
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from claims import Claim, options, report
from models import gpt_162m
from numpy.typing import NDArray

from bifurk_service.stats.spectra.power_law import best_power_law
from bifurk_service.stats.spectra.spectrum import MatrixSpectrum, measure_spectrum

Matrix = NDArray[np.float32]

WIDE_768 = [(768, 768), (2_304, 768), (3_072, 768), (768, 3_072)] * 3
LARGE = [(2_048, 8_192)]
REFERENCE = [(768, 768), (200, 300), (256, 1_024), (1_000, 64)]
ROUNDS = 5
LARGE_ROUNDS = 2
MODEL_ROUNDS = 2
PROCESSES = 2
PARITY = 1e-6


def main() -> int:
    """Measures and reports; 0 when every target is met."""
    if "--reference" in sys.argv:
        return _print_reference()
    asked = options(__doc__ or "")
    torch.set_num_threads(1)
    rounds = asked.rounds or ROUNDS
    narrow, large = drawn(WIDE_768), drawn(LARGE)
    return report(
        [
            *_against_watcher("twelve 768-wide", narrow, rounds, raw=2.5, both=1.4, fit=8.0),
            *_against_watcher("2048x8192", large, min(rounds, LARGE_ROUNDS), raw=4.0, both=2.0),
            *_parity("twelve 768-wide", narrow),
            *_parity("2048x8192", large),
            _whole_model(),
            *_memory(),
        ],
        as_json=asked.json,
    )


def drawn(shapes: Sequence[tuple[int, int]]) -> list[Matrix]:
    """Weights about as heavy-tailed as trained ones: Student-4 times 0.02, seeds by place."""
    return [
        (0.02 * np.random.default_rng(place).standard_t(4, size=shape)).astype(np.float32)
        for place, shape in enumerate(shapes)
    ]


class Watcher:
    """WeightWatcher over the same matrices, as layers of a model; silent."""

    def __init__(self, matrices: Sequence[Matrix]) -> None:
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        import weightwatcher

        model = torch.nn.Sequential()
        for matrix in matrices:
            layer = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
            layer.weight = torch.nn.Parameter(torch.from_numpy(matrix))
            model.append(layer)
        self._watcher = weightwatcher.WeightWatcher(model=model)

    def __call__(self, **choices: Any) -> Any:
        """A data frame, one row a matrix."""
        return self._watcher.analyze(**choices)


def _against_watcher(
    what: str,
    matrices: Sequence[Matrix],
    rounds: int,
    *,
    raw: float,
    both: float,
    fit: float | None = None,
) -> Iterator[Claim]:
    """Medians of interleaved rounds; ratios of medians."""
    watcher = Watcher(matrices)
    contenders: dict[str, Callable[[], object]] = {
        "analyze": watcher,
        "raw": lambda: [measure_spectrum(m, biwhitened=False) for m in matrices],
        "both": lambda: [measure_spectrum(m) for m in matrices],
    }
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            seconds[name].append(_timed(run))
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    for name in contenders:
        yield Claim(claim=f"{what}: {name}", value=middle[name], unit="s")
    for name, target in (("raw", raw), ("both", both)):
        yield Claim(
            claim=f"{what}: analyze() / {name}",
            value=middle["analyze"] / middle[name],
            unit="x",
            target=target,
            better="higher",
        )
    if fit is not None:
        yield Claim(
            claim=f"{what}: analyze(mp_fit=True) / both",
            value=_timed(lambda: watcher(mp_fit=True)) / middle["both"],
            unit="x",
            target=fit,
            better="higher",
        )


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _parity(what: str, matrices: Sequence[Matrix]) -> Iterator[Claim]:
    """The largest relative differences of what both report, alpha without our gate.

    Of D, which lies between 0 and 1, the absolute difference.
    """
    theirs = Watcher(matrices)()
    worst = dict.fromkeys(("lambda_max", "alpha", "D", "xmin", "stable_rank"), 0.0)
    for place, matrix in enumerate(matrices):
        ours = _comparable(matrix)
        for name in worst:
            difference = abs(ours[name] - float(theirs[name].iloc[place]))
            scale = 1.0 if name == "D" else abs(ours[name])
            worst[name] = max(worst[name], difference / scale)
    for name, difference in worst.items():
        yield Claim(
            claim=f"{what}: {name}, largest {'' if name == 'D' else 'relative '}difference",
            value=difference,
            unit="",
            target=PARITY,
        )


def _comparable(matrix: Matrix) -> dict[str, float]:
    """Our numbers under WeightWatcher's names."""
    spectrum = measure_spectrum(matrix, biwhitened=False)
    assert isinstance(spectrum, MatrixSpectrum), spectrum
    eigenvalues = np.square(spectrum.singular_values[::-1])
    tail = best_power_law(eigenvalues)
    stable_rank = spectrum.statistics["stable_rank"]
    assert tail is not None
    assert isinstance(stable_rank, float)
    return {
        "lambda_max": float(eigenvalues[-1]),
        "alpha": tail.alpha,
        "D": tail.ks_distance,
        "xmin": tail.x_min,
        "stable_rank": stable_rank,
    }


def _whole_model() -> Claim:
    """Wall time of two processes, one thread each, from a common start to the last end."""
    context = get_context("spawn")
    with context.Manager() as manager:
        barrier: Any = manager.Barrier(PROCESSES)
        with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
            jobs = [pool.submit(_model_share, place, barrier) for place in range(PROCESSES)]
            rounds = list(zip(*(job.result() for job in jobs), strict=True))
    best = min(max(end for _, end in spans) - min(begin for begin, _ in spans) for spans in rounds)
    return Claim(
        claim="51 matrices of the 162 M model, both passes, two processes",
        value=best,
        unit="s",
        target=7.0,
    )


def _model_share(place: int, barrier: Barrier) -> list[tuple[float, float]]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    matrices = [p.detach().numpy() for p in gpt_162m().parameters() if p.dim() == 2]
    # The largest first, to whoever has less: by the operations of product and reduction.
    matrices.sort(key=_operations, reverse=True)
    loads, shares = [0.0] * PROCESSES, [[] for _ in range(PROCESSES)]  # type: ignore[var-annotated]
    for matrix in matrices:
        least = loads.index(min(loads))
        loads[least] += _operations(matrix)
        shares[least].append(matrix)
    spans = []
    for _ in range(MODEL_ROUNDS):
        barrier.wait()
        begin = time.monotonic()
        for matrix in shares[place]:
            measure_spectrum(matrix)
        spans.append((begin, time.monotonic()))
    return spans


def _operations(matrix: Matrix) -> float:
    """Of a float32 product and a float64 reduction, which runs at a quarter of the speed."""
    short, long = sorted(matrix.shape)
    return short**2 * long + 4 * (4 / 3) * short**3


def _memory() -> Iterator[Claim]:
    """What one spectrum takes beside its matrix, each in a process of its own."""
    for shape in ((50_257, 768), (2_048, 8_192), (2_048, 2_048)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            growth = pool.submit(_growth, shape).result()
        matrix, gram = math.prod(shape) * 4, min(shape) ** 2 * (4 + 8)
        yield Claim(
            claim=f"{shape[0]}x{shape[1]}: matrix and growth, of 3 matrices and two Gram pairs",
            value=(matrix + growth) / (3 * matrix + 2 * gram),
            unit="",
            target=1.0,
        )
        yield Claim(claim=f"{shape[0]}x{shape[1]}: growth", value=growth / 2**20, unit="MiB")


def _growth(shape: tuple[int, int]) -> float:
    """Bytes by which the resident size peaks above what it was."""
    measure_spectrum(drawn([(300, 300)])[0])
    matrix = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    # Linux: the peak starts again from the present size.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _resident("VmRSS")
    measure_spectrum(matrix)
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024.0


def _print_reference() -> int:
    """WeightWatcher's values for the matrices of the tests, as Python."""
    matrices = drawn(REFERENCE)
    theirs = Watcher(matrices)()
    for place, matrix in enumerate(matrices):
        row = theirs.iloc[place]
        values = ", ".join(f"{float(row[n])!r}" for n in ("lambda_max", "alpha", "D", "xmin"))
        print(f"    ({place}, {matrix.shape}): ({values}),")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
