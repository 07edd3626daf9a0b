"""Everything measured of one tensor at one snapshot, from what the part carried of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bifurk.exact import Exact
from bifurk.sketch import Sketch
from bifurk_service.stats.distribution import Distribution, from_counts, from_values
from bifurk_service.stats.elements import element_statistics
from bifurk_service.stats.motion import motion_statistics
from bifurk_service.stats.registry import STATISTICS, Family
from bifurk_service.stats.spectrum import spectrum_statistics
from bifurk_service.stats.value import NOT_SENT, TOO_LARGE, Value


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
        steps_since_previous: steps between the two traces, at least 1; None without a previous one.
    """

    shape: tuple[int, ...]
    dtype: str
    counts: Sketch | None
    values: Exact | None
    full: Exact | None
    trace: Exact | None
    previous_trace: Exact | None
    first_trace: Exact | None
    steps_since_previous: int | None


def measure_tensor(tensor: TensorInput) -> dict[str, Value]:
    """All registered statistics of one tensor, each a finite float64 or ``NoValue``.

    Never raises or warns for what the values are. Element statistics always come from the same
    source, so that a series does not jump when full values happen to come along.
    """
    # Values near the ends of float64 may overflow or underflow on the way: the result then is
    # not finite, and that is said below; nothing is worth a warning in a worker's log.
    with np.errstate(all="ignore"):
        measured = {
            **_elements(tensor),
            **motion_statistics(
                tensor.trace,
                previous=tensor.previous_trace,
                first=tensor.first_trace,
                steps_since_previous=tensor.steps_since_previous,
            ),
            **spectrum_statistics(
                tensor.shape, tensor.full if tensor.full is not None else tensor.values
            ),
        }
    return {s.name: _finite(measured[s.name]) for s in STATISTICS}


def _elements(tensor: TensorInput) -> dict[str, Value]:
    distribution = _distribution(tensor)
    if distribution is None:
        return {s.name: NOT_SENT for s in STATISTICS if s.family is Family.ELEMENTS}
    return element_statistics(distribution)


def _distribution(tensor: TensorInput) -> Distribution | None:
    if tensor.values is not None:
        return from_values(tensor.values)
    if tensor.counts is not None:
        return from_counts(tensor.counts, dtype=tensor.dtype)
    return None


def _finite(value: Value) -> Value:
    return TOO_LARGE if isinstance(value, float) and not math.isfinite(value) else value
