"""Courses condensed to the extremes of stretches of steps: what long runs are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spans:
    """T courses in M stretches of steps, one after the other.

    Attributes:
        first, last: steps that a stretch begins and ends with, int64 [M], ascending.
        low, high: the least and the greatest value in it, float64 [T, M], NaN without one.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def steps(self) -> NDArray[np.int64]:
        """The first step and the last of all, [2]; empty without spans."""
        return np.append(self.first[:1], self.last[-1:])

    def middles(self) -> NDArray[np.float64]:
        """Half way between the extremes, [T, M]; the values themselves where a span is one step."""
        return self.low if self.low is self.high else self.low / 2 + self.high / 2

    def where(self, kept: NDArray[np.bool_]) -> Spans:
        """Some of the spans, by bool [M]."""
        low = self.low[:, kept]
        return Spans(
            first=self.first[kept],
            last=self.last[kept],
            low=low,
            high=low if self.low is self.high else self.high[:, kept],
        )


def single_steps(steps: NDArray[np.int64], values: NDArray[np.float64]) -> Spans:
    """Every step by itself: steps int64 [N], values float64 [T, N]."""
    return Spans(first=steps, last=steps, low=values, high=values)


def joined(parts: Sequence[Spans], *, courses: int) -> Spans:
    """Spans of one and the same T courses as one, in the order of their steps."""
    none = np.zeros(0, dtype=np.int64)
    empty = np.zeros((courses, 0))
    first = np.concatenate([none, *(part.first for part in parts)])
    order = np.argsort(first, kind="stable")
    return Spans(
        first=first[order],
        last=np.concatenate([none, *(part.last for part in parts)])[order],
        low=np.concatenate([empty, *(part.low for part in parts)], axis=1)[:, order],
        high=np.concatenate([empty, *(part.high for part in parts)], axis=1)[:, order],
    )
