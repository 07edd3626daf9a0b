"""Everything measured of one tensor at one snapshot, from what the part carried of it."""

from __future__ import annotations

from dataclasses import dataclass

from bifurk.exact import Exact
from bifurk.sketch import Sketch

from bifurk_service.stats.value import Value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorInput:
    """What is known of one tensor at one snapshot.

    Attributes:
        shape: of the whole tensor.
        counts: of a large tensor's values; None for a small one.
        values: all values of a small tensor, flat, row-major; None for a large one.
        full: all values in the tensor's own shape when they came (large tensors); else None.
        trace: exact values whose identity is kept over time: all of a small tensor's, the 4,096
            sampled ones of a large tensor's. previous_trace, first_trace: the same elements at the
            previous and at the first snapshot of the attempt; None where there is none.
        steps_since_previous: steps between the two traces, at least 1; None without a previous one.
    """

    shape: tuple[int, ...]
    counts: Sketch | None
    values: Exact | None
    full: Exact | None
    trace: Exact | None
    previous_trace: Exact | None
    first_trace: Exact | None
    steps_since_previous: int | None


def measure_tensor(tensor: TensorInput) -> dict[str, Value]:
    """All registered statistics of one tensor, each a finite float64 or ``NoValue``."""
    raise NotImplementedError
