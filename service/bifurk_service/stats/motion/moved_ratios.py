"""Ratios of what moved, each with its standard error over samples of the tensor's elements."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from bifurk_service.stats.motion.compared import Floats, Pair
from bifurk_service.stats.value import (
    ALL_EQUAL,
    ALL_ZERO,
    FIRST_ALL_EQUAL,
    FIRST_ALL_ZERO,
    NoValue,
    Value,
)

ONE_SAMPLED: Final = NoValue("a single sampled element tells no standard error")
NONE_MOVED: Final = NoValue("no sampled element moved, so the sample tells no standard error")


def relative_distance(
    pair: Pair, now_square: float, moved_square: float, size: int
) -> tuple[Value, Value]:
    """rms(moved) / rms(now) and its standard error.

    Args:
        pair: the elements. now_square, moved_square: sums of squares over them, scaled.
        size: elements of the whole tensor.
    """
    if not now_square:
        return ALL_ZERO, ALL_ZERO
    ratio_square = moved_square / now_square
    ratio = math.sqrt(ratio_square)
    if _is_whole(pair, size):
        return ratio, 0.0
    if not ratio:
        return ratio, NONE_MOVED
    residuals = ((now - then) ** 2 - ratio_square * now**2 for now, then in pair.scaled_chunks())
    error = _standard_error(residuals, pair, size)
    if isinstance(error, NoValue):
        return ratio, error
    return ratio, error / now_square * pair.size / (2.0 * ratio)


def cosine_between(
    pair: Pair, product: float, now_square: float, then_square: float, size: int
) -> tuple[Value, Value]:
    """<now, then> / (|now| |then|), in [-1, 1], and its standard error; arguments likewise."""
    if not now_square or not then_square:
        reason = FIRST_ALL_ZERO if now_square else ALL_ZERO
        return reason, reason
    now_norm, then_norm = math.sqrt(now_square), math.sqrt(then_square)
    # Rounding may leave the interval by a few units in the last place.
    cosine = min(1.0, max(-1.0, product / now_norm / then_norm))
    if _is_whole(pair, size):
        return cosine, 0.0
    unit = math.sqrt(pair.size)
    residuals = (
        _cosine_residuals(now * (unit / now_norm), then * (unit / then_norm), cosine)
        for now, then in pair.scaled_chunks()
    )
    return cosine, _standard_error(residuals, pair, size)


def _cosine_residuals(now: Floats, then: Floats, cosine: float) -> Floats:
    """Of elements of unit rms: how much each pulls the cosine."""
    return now * then - 0.5 * cosine * (now * now + then * then)


def std_growth(
    pair: Pair, means: list[float], now_var: float, then_var: float, size: int
) -> tuple[Value, Value]:
    """std(now) / std(then) and its standard error.

    Args:
        pair: the elements. means: of now and then. now_var, then_var: variances; all scaled.
        size: elements of the whole tensor.
    """
    if not then_var:
        return FIRST_ALL_EQUAL, FIRST_ALL_EQUAL
    ratio_square = now_var / then_var
    ratio = math.sqrt(ratio_square)
    if _is_whole(pair, size):
        return ratio, 0.0
    if not ratio:
        return ratio, ALL_EQUAL
    residuals = (
        (now - means[0]) ** 2 - ratio_square * (then - means[1]) ** 2
        for now, then in pair.scaled_chunks()
    )
    error = _standard_error(residuals, pair, size)
    if isinstance(error, NoValue):
        return ratio, error
    return ratio, error / then_var / (2.0 * ratio)


def _is_whole(pair: Pair, size: int) -> bool:
    return pair.sampled >= size


def _standard_error(residuals: Iterable[Floats], pair: Pair, size: int) -> float | NoValue:
    """Standard error of the mean of residuals whose own mean is zero.

    sqrt((1 - m/N) s^2 / n): n the finite ones of m sampled elements of N. The client's sample
    has one element in each of m equal stretches; that is treated as drawn at random, which is
    right for weights without order along the stretches and too careful where there is one.
    """
    if pair.size < 2:
        return ONE_SAMPLED
    squares = sum(float(residual @ residual) for residual in residuals)
    unseen = 1.0 - pair.sampled / size
    return math.sqrt(unseen * squares / (pair.size - 1) / pair.size)
