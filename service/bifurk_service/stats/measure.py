"""Everything measured of one snapshot's tensors, from what its parts carried of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import Sketch
from bifurk_service.stats.distributions.distribution import Distribution, from_counts, from_values
from bifurk_service.stats.elements.element_table import element_table
from bifurk_service.stats.motion.motion_statistics import Compared, motion_statistics
from bifurk_service.stats.motion.path_dips import path_dip_ratios
from bifurk_service.stats.registry import STATISTICS, Family, names_of
from bifurk_service.stats.spectra.plan import SpectraPlan
from bifurk_service.stats.spectra.spectrum import (
    MatrixSpectrum,
    matrix_of,
    measure_spectrum,
    no_spectrum,
)
from bifurk_service.stats.spectra.tridiagonal import Solver, reduce_symmetric
from bifurk_service.stats.table import MeasuredTensors
from bifurk_service.stats.value import (
    INCOMPARABLE,
    NO_EARLIER,
    NOT_SENT,
    TOO_LARGE,
    NoValue,
    Value,
)

OUT_OF_TIME: Final = NoValue("left out at this snapshot: the time for spectra was used up")

_ELEMENTS: Final = names_of(Family.ELEMENTS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorInput:
    """What is known of one tensor at one snapshot.

    Attributes:
        shape: of the whole tensor. dtype: the parameter's own, as torch names it; it tells whether
            the counts are lossless (bfloat16, float16) or of rounded values.
        counts: of a large tensor's values; None for a small one.
        values: all values of a small tensor, flat, row-major; None for a large one.
        full: all values in the tensor's own shape when they came (large tensors); else None.
        trace: exact values whose identity is kept over time: all of a small tensor's, the 4,096
            sampled ones of a large tensor's. previous_trace, first_trace: the same elements at the
            previous and at the first snapshot of the attempt; None where there is none.
        previous_full: all values at the previous snapshot when they came then.
        steps_since_previous: steps between the two snapshots, at least 1; None without a previous.
    """

    shape: tuple[int, ...]
    dtype: str
    counts: Sketch | None = None
    values: Exact | None = None
    full: Exact | None = None
    trace: Exact | None = None
    previous_trace: Exact | None = None
    previous_full: Exact | None = None
    first_trace: Exact | None = None
    steps_since_previous: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """The statistics of one snapshot.

    Attributes:
        tensors: every statistic of every tensor.
        spectra: by tensor name, of every matrix that was reached.
        skipped: how many matrices the time for spectra did not reach.
    """

    tensors: MeasuredTensors
    spectra: Mapping[str, MatrixSpectrum] = field(default_factory=dict)
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredSpectra:
    """The spectra of some tensors of a snapshot.

    Attributes:
        spectra: by tensor name, of every matrix that was reached.
        values: by tensor name, every statistic of ``Family.SPECTRUM`` of every tensor.
        skipped: how many matrices the time did not reach.
    """

    spectra: Mapping[str, MatrixSpectrum]
    values: Mapping[str, Mapping[str, Value]]
    skipped: int = 0


def measure_tensors(
    tensors: Mapping[str, TensorInput], *, plan: SpectraPlan | None = None
) -> Measured:
    """All registered statistics of one snapshot's tensors, by name.

    Never raises or warns for what the values are. Element statistics always come from the same
    source, so that a series does not jump when full values happen to come along.
    """
    rows = measure_rows(tensors)
    return put_together(rows, [measure_spectra(tensors, plan or SpectraPlan())])


def measure_rows(tensors: Mapping[str, TensorInput]) -> dict[str, dict[str, Value]]:
    """Every tensor's statistics but those of its spectrum, by tensor and name."""
    # Values near the ends of float64 may overflow or underflow on the way: the result then is
    # not finite, and ``put_together`` says so; nothing is worth a warning in a worker's log.
    with np.errstate(all="ignore"):
        elements = _elements(tensors)
        motion = _motion(tensors)
        return {name: {**elements[name], **motion[name]} for name in tensors}


def measure_spectra(
    tensors: Mapping[str, TensorInput], plan: SpectraPlan, *, solver: Solver = reduce_symmetric
) -> MeasuredSpectra:
    """The spectra of these tensors, within the plan's time."""
    with np.errstate(all="ignore"):
        return _spectra(tensors, plan, solver)


def out_of_time(names: Iterable[str]) -> MeasuredSpectra:
    """Matrices that the time for spectra did not reach."""
    values = {name: no_spectrum(OUT_OF_TIME) for name in names}
    return MeasuredSpectra(spectra={}, values=values, skipped=len(values))


def put_together(
    rows: Mapping[str, Mapping[str, Value]], measured: Iterable[MeasuredSpectra]
) -> Measured:
    """A snapshot's statistics from the rows of its tensors and from spectra of all of them.

    Args:
        rows: as ``measure_rows`` gives them. measured: in the order of the plan, together of
            every tensor.
    """
    spectra: dict[str, MatrixSpectrum] = {}
    values: dict[str, Mapping[str, Value]] = {}
    skipped = 0
    for some in measured:
        spectra.update(some.spectra)
        values.update(some.values)
        skipped += some.skipped
    results = {name: {**row, **values[name]} for name, row in rows.items()}
    return Measured(tensors=as_table(results), spectra=spectra, skipped=skipped)


def as_table(results: Mapping[str, Mapping[str, Value]]) -> MeasuredTensors:
    """Statistics by tensor and name as a table; what is not finite says so instead."""
    finite = [{s.name: _finite(row[s.name]) for s in STATISTICS} for row in results.values()]
    return MeasuredTensors(
        names=list(results),
        values=np.array(
            [[_number(value) for value in row.values()] for row in finite], dtype=np.float64
        ).reshape(len(finite), len(STATISTICS)),
        reasons=[
            {name: value.reason for name, value in row.items() if isinstance(value, NoValue)}
            for row in finite
        ],
    )


def _elements(tensors: Mapping[str, TensorInput]) -> dict[str, dict[str, Value]]:
    distributions = {name: _distribution(tensor) for name, tensor in tensors.items()}
    known = {name: one for name, one in distributions.items() if one is not None}
    table, reasons = element_table(list(known.values()))
    measured: dict[str, dict[str, Value]] = {
        name: dict.fromkeys(_ELEMENTS, NOT_SENT) for name in tensors
    }
    for name, row, why in zip(known, table.tolist(), reasons, strict=True):
        measured[name] = _row(row, why)
    return measured


def _row(values: Iterable[float], reasons: Mapping[str, str]) -> dict[str, Value]:
    return {
        name: NoValue(reasons[name]) if name in reasons else value
        for name, value in zip(_ELEMENTS, values, strict=True)
    }


def _distribution(tensor: TensorInput) -> Distribution | None:
    if tensor.values is not None:
        return from_values(tensor.values)
    if tensor.counts is not None:
        return from_counts(tensor.counts, dtype=tensor.dtype)
    return None


def _motion(tensors: Mapping[str, TensorInput]) -> dict[str, dict[str, Value]]:
    firsts = {name: _compared(one.trace, one.first_trace) for name, one in tensors.items()}
    dip_ratios = path_dip_ratios(list(firsts.values()))
    return {
        name: {**_moved(tensors[name], firsts[name]), "path_dip_ratio": dip_ratio}
        for name, dip_ratio in zip(firsts, dip_ratios, strict=True)
    }


def _moved(tensor: TensorInput, first: Compared | NoValue) -> dict[str, Value]:
    """Since the previous snapshot from all elements, where all came both times."""
    exact = _compared(tensor.full, tensor.previous_full)
    return motion_statistics(
        previous=exact
        if isinstance(exact, Compared)
        else _compared(tensor.trace, tensor.previous_trace),
        first=first,
        size=math.prod(tensor.shape),
        steps_since_previous=tensor.steps_since_previous,
    )


def _compared(now: Exact | None, then: Exact | None) -> Compared | NoValue:
    if now is None:
        return NOT_SENT
    if then is None:
        return NO_EARLIER
    return Compared(now=now, then=then) if now.data.size == then.data.size else INCOMPARABLE


def _spectra(
    tensors: Mapping[str, TensorInput], plan: SpectraPlan, solver: Solver
) -> MeasuredSpectra:
    spectra: dict[str, MatrixSpectrum] = {}
    values: dict[str, dict[str, Value]] = {}
    skipped = 0
    started = plan.monotonic()
    for name, matrix in _matrices(tensors, plan):
        if isinstance(matrix, NoValue):
            values[name] = no_spectrum(matrix)
            continue
        if spectra and plan.monotonic() - started > plan.budget_seconds:
            values[name] = no_spectrum(OUT_OF_TIME)
            skipped += 1
            continue
        spectrum = measure_spectrum(
            matrix,
            with_vectors=plan.with_vectors,
            first_vectors=plan.first_vectors.get(name),
            solver=solver,
        )
        if isinstance(spectrum, NoValue):
            values[name] = no_spectrum(spectrum)
        else:
            spectra[name], values[name] = spectrum, spectrum.statistics
    return MeasuredSpectra(spectra=spectra, values=values, skipped=skipped)


def _matrices(
    tensors: Mapping[str, TensorInput], plan: SpectraPlan
) -> Iterator[tuple[str, NDArray[np.floating] | NoValue]]:
    """Each matrix as its turn comes, so that one at a time is unpacked; or why there is none."""
    for name in plan.ordered(list(tensors)):
        tensor = tensors[name]
        yield (
            name,
            matrix_of(tensor.shape, tensor.full if tensor.full is not None else tensor.values),
        )


def _number(value: Value) -> float:
    return math.nan if isinstance(value, NoValue) else value


def _finite(value: Value) -> Value:
    return TOO_LARGE if isinstance(value, float) and not math.isfinite(value) else value
