"""How far one tensor's elements moved, from exact values of the same elements over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk_service.stats.value import (
    ALL_ZERO,
    EMPTY,
    FIRST_ALL_EQUAL,
    FIRST_ALL_ZERO,
    INCOMPARABLE,
    NO_EARLIER,
    NO_FINITE,
    NOT_SENT,
    NoValue,
    Value,
)

_SINCE_PREVIOUS: Final = ("update_ratio", "update_ratio_raw", "unmoved_share")
_SINCE_FIRST: Final = ("distance_to_first", "cosine_to_first", "std_ratio_to_first")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pair:
    """The elements that are finite both now and then, float64 [n] each."""

    now: NDArray[np.float64]
    then: NDArray[np.float64]


def motion_statistics(
    trace: Exact | None,
    *,
    previous: Exact | None,
    first: Exact | None,
    steps_since_previous: int | None,
) -> dict[str, Value]:
    """Every statistic of ``Family.MOTION``: a float64, or why there is none.

    Elements that are not finite in either of two compared traces are left out of the comparison.

    Args:
        trace: the elements now; None when they were not sent.
        previous: the same elements at the snapshot before; None when there is none.
        first: the same elements at the attempt's first snapshot; None when this is the first.
        steps_since_previous: optimizer steps from ``previous`` to now, at least 1.
    """
    return _since_previous(_pair(trace, previous), steps_since_previous) | _since_first(
        _pair(trace, first)
    )


def _since_previous(pair: _Pair | NoValue, steps: int | None) -> dict[str, Value]:
    if isinstance(pair, NoValue):
        return dict.fromkeys(_SINCE_PREVIOUS, pair)
    distance = _relative_distance(pair)
    return {
        "update_ratio": _per_step(distance, steps),
        "update_ratio_raw": distance,
        "unmoved_share": float(np.mean(pair.now == pair.then)),
    }


def _since_first(pair: _Pair | NoValue) -> dict[str, Value]:
    if isinstance(pair, NoValue):
        return dict.fromkeys(_SINCE_FIRST, pair)
    return {
        "distance_to_first": _relative_distance(pair),
        "cosine_to_first": _cosine(pair),
        "std_ratio_to_first": _std_ratio(pair),
    }


def _pair(now: Exact | None, then: Exact | None) -> _Pair | NoValue:
    if now is None:
        return NOT_SENT
    if then is None:
        return NO_EARLIER
    if now.data.size != then.data.size:
        return INCOMPARABLE
    if now.data.size == 0:
        return EMPTY
    pair = _finite_pair(now.float64().reshape(-1), then.float64().reshape(-1))
    if pair.now.size == 0:
        return NO_FINITE
    # Ratios do not change, and no difference or square leaves float64.
    exponent = np.frexp(max(np.max(np.abs(pair.now)), np.max(np.abs(pair.then))))[1]
    return _Pair(now=np.ldexp(pair.now, -exponent), then=np.ldexp(pair.then, -exponent))


def _finite_pair(now: NDArray[np.float64], then: NDArray[np.float64]) -> _Pair:
    finite = np.isfinite(now) & np.isfinite(then)
    if finite.all():
        return _Pair(now=now, then=then)
    return _Pair(now=now[finite], then=then[finite])


def _relative_distance(pair: _Pair) -> Value:
    size = _norm(pair.now)
    return _norm(pair.now - pair.then) / size if size else ALL_ZERO


def _per_step(distance: Value, steps: int | None) -> Value:
    if isinstance(distance, NoValue):
        return distance
    return distance / math.sqrt(steps) if steps is not None and steps > 0 else NO_EARLIER


def _cosine(pair: _Pair) -> Value:
    now, then = _norm(pair.now), _norm(pair.then)
    if not now:
        return ALL_ZERO
    if not then:
        return FIRST_ALL_ZERO
    cosine = float((pair.now / now) @ (pair.then / then))
    # Rounding may leave the interval by a few units in the last place.
    return min(1.0, max(-1.0, cosine))


def _std_ratio(pair: _Pair) -> Value:
    then = _std(pair.then)
    return _std(pair.now) / then if then else FIRST_ALL_EQUAL


def _norm(values: NDArray[np.float64]) -> float:
    peak = float(np.max(np.abs(values)))
    if peak == 0.0:
        return 0.0
    relative = values / peak
    return peak * math.sqrt(float(relative @ relative))


def _std(values: NDArray[np.float64]) -> float:
    # The mean of equal values may round to a neighbour; their spread is zero all the same.
    if np.min(values) == np.max(values):
        return 0.0
    deviations = values - np.mean(values)
    return _norm(deviations - np.mean(deviations)) / math.sqrt(values.size)
