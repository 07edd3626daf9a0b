"""How far one tensor's elements moved, from exact values of the same elements over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from bifurk_service.stats.motion.compared import Compared, Floats, Pair, pair_of
from bifurk_service.stats.motion.moved_ratios import cosine_between, relative_distance, std_growth
from bifurk_service.stats.motion.streamed_median import middle_values
from bifurk_service.stats.value import (
    FIRST_ALL_EQUAL,
    NO_EARLIER,
    TOO_LARGE,
    NoValue,
    Value,
)

__all__ = ["Compared", "motion_statistics"]

DYING: Final = 0.05
"""A path is dying below this share of the first snapshot's standard deviation; of a Gaussian's
elements 4 % are there at the start."""
GROWING: Final = 3.0
"""A path has grown beyond this many of them; 0.27 % of a Gaussian's elements at the start."""

NO_PATHS: Final = NoValue("no element is other than zero at both snapshots")

_SINCE_PREVIOUS: Final = (
    "update_ratio",
    "update_ratio_raw",
    "update_ratio_stderr",
    "unmoved_share",
    "sign_flip_share",
    "path_flow",
)
_SINCE_FIRST: Final = (
    "distance_to_first",
    "distance_to_first_stderr",
    "cosine_to_first",
    "cosine_to_first_stderr",
    "std_ratio_to_first",
    "std_ratio_to_first_stderr",
    "displacement_std",
    "sign_flip_share_to_first",
    "dying_share",
    "growing_share",
)


def motion_statistics(
    *,
    previous: Compared | NoValue,
    first: Compared | NoValue,
    size: int,
    steps_since_previous: int | None,
) -> dict[str, Value]:
    """Every statistic of ``Family.MOTION`` but ``path_dip_ratio``, or why there is none.

    Elements that are not finite at either of two compared snapshots are left out of that
    comparison. Standard errors are those of a simple random sample without replacement, by the
    delta method; 0 where every element is compared.

    Args:
        previous: elements now and at the snapshot before, or why they cannot be compared.
        first: elements now and at the attempt's first snapshot, likewise.
        size: elements of the whole tensor; where fewer are compared they are a sample of it.
        steps_since_previous: optimizer steps from ``previous`` to now, at least 1.
    """
    with np.errstate(all="ignore"):
        measured = _since_previous(_pair(previous), size, steps_since_previous) | _since_first(
            _pair(first), size
        )
    return {name: _finite(value) for name, value in measured.items()}


def _pair(compared: Compared | NoValue) -> Pair | NoValue:
    return compared if isinstance(compared, NoValue) else pair_of(compared)


def _since_previous(pair: Pair | NoValue, size: int, steps: int | None) -> dict[str, Value]:
    if isinstance(pair, NoValue):
        return dict.fromkeys(_SINCE_PREVIOUS, pair)
    now_square, moved_square = _totals(pair, _previous_sums)
    unmoved, flipped = _counts(pair)
    ratio, error = relative_distance(pair, now_square, moved_square, size)
    return {
        "update_ratio": _per_step(ratio, steps),
        "update_ratio_raw": ratio,
        "update_ratio_stderr": _per_step(error, steps),
        "unmoved_share": unmoved / pair.size,
        "sign_flip_share": flipped / pair.size,
        "path_flow": _per_step(_log_growth(pair), steps),
    }


def _since_first(pair: Pair | NoValue, size: int) -> dict[str, Value]:
    if isinstance(pair, NoValue):
        return dict.fromkeys(_SINCE_FIRST, pair)
    now_square, moved_square, then_square, product, *totals = _totals(pair, _first_sums)
    means = [total / pair.size for total in totals]
    now_var, then_var, moved_var = _variances(pair, means)
    distance, distance_error = relative_distance(pair, now_square, moved_square, size)
    cosine, cosine_error = cosine_between(pair, product, now_square, then_square, size)
    growth, growth_error = std_growth(pair, means, now_var, then_var, size)
    dying, growing = _far_and_near(pair, math.sqrt(then_var))
    return {
        "distance_to_first": distance,
        "distance_to_first_stderr": distance_error,
        "cosine_to_first": cosine,
        "cosine_to_first_stderr": cosine_error,
        "std_ratio_to_first": growth,
        "std_ratio_to_first_stderr": growth_error,
        "displacement_std": float(np.ldexp(math.sqrt(moved_var), pair.exponent)),
        "sign_flip_share_to_first": _counts(pair)[1] / pair.size,
        "dying_share": dying,
        "growing_share": growing,
    }


def _totals(pair: Pair, sums: Callable[[Floats, Floats], Floats]) -> list[float]:
    """Sums over all elements, scaled, from those over each chunk."""
    total: list[float] = np.sum([sums(*chunk) for chunk in pair.scaled_chunks()], axis=0).tolist()
    return total


def _previous_sums(now: Floats, then: Floats) -> Floats:
    moved = now - then
    return np.array([now @ now, moved @ moved])


def _first_sums(now: Floats, then: Floats) -> Floats:
    moved = now - then
    return np.array(
        [now @ now, moved @ moved, then @ then, now @ then, now.sum(), then.sum(), moved.sum()]
    )


def _counts(pair: Pair) -> tuple[int, int]:
    """How many elements are the same as then, and how many have the other sign."""
    unmoved = flipped = 0
    for now, then in pair.chunks():
        unmoved += int(np.count_nonzero(now == then))
        # By signs: a product may underflow to zero.
        flipped += int(np.count_nonzero(np.sign(now) * np.sign(then) < 0.0))
    return unmoved, flipped


def _variances(pair: Pair, means: list[float]) -> tuple[float, float, float]:
    """Of the elements now, then, and of what they moved; scaled; in a second pass."""
    sums = np.array(_totals(pair, lambda now, then: _central_sums(now, then, means)))
    squares, rests = sums[:3] / pair.size, sums[3:] / pair.size
    # What rounding left of the mean is taken off again.
    now_var, then_var, moved_var = np.maximum(squares - rests * rests, 0.0).tolist()
    # The mean of equal values may round to a neighbour; their spread is zero all the same.
    return (
        0.0 if pair.now_equal else now_var,
        0.0 if pair.then_equal else then_var,
        0.0 if pair.now_equal and pair.then_equal else moved_var,
    )


def _central_sums(now: Floats, then: Floats, means: list[float]) -> Floats:
    deviations = now - means[0], then - means[1], (now - then) - means[2]
    return np.array([*(d @ d for d in deviations), *(d.sum() for d in deviations)])


def _far_and_near(pair: Pair, then_std: float) -> tuple[Value, Value]:
    """Shares of dying and of growing paths."""
    if not then_std:
        return FIRST_ALL_EQUAL, FIRST_ALL_EQUAL
    dying = growing = 0
    for now, _ in pair.scaled_chunks():
        magnitude = np.abs(now)
        dying += int(np.count_nonzero(magnitude < DYING * then_std))
        growing += int(np.count_nonzero(magnitude > GROWING * then_std))
    return dying / pair.size, growing / pair.size


def _log_growth(pair: Pair) -> Value:
    """The median of ln|now| - ln|then|, as the logarithm of the median ratio."""
    paths = sum(int(np.count_nonzero((now != 0.0) & (then != 0.0))) for now, then in pair.chunks())
    if not paths:
        return NO_PATHS
    lower, upper = middle_values(lambda: map(_ratios, pair.chunks()), size=paths)
    return float(np.log(lower) + np.log(upper)) / 2.0


def _ratios(chunk: tuple[Floats, Floats]) -> Floats:
    now, then = chunk
    kept = (now != 0.0) & (then != 0.0)
    ratios: Floats = np.abs(now[kept] / then[kept])
    return ratios


def _per_step(value: Value, steps: int | None) -> Value:
    if isinstance(value, NoValue):
        return value
    return value / math.sqrt(steps) if steps is not None and steps > 0 else NO_EARLIER


def _finite(value: Value) -> Value:
    return TOO_LARGE if isinstance(value, float) and not math.isfinite(value) else value
