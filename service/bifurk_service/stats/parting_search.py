"""Where two courses part, found from their end backwards: looked at is only what decides it.

Gives what ``compare_courses`` gives of the same steps, stretches proven apart being passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.parting import HOLD, LEVELS, difference
from bifurk_service.stats.registry import BY_NAME

ROUNDING: Final = 1e-9
"""Of a level: so much farther apart are stretches that count as proven; logarithms are rounded."""
RESOLVED: Final = 2
"""Steps apart in a row after which a single one within does not count: medians of three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Both values at a common step, and whether they are more than the level apart."""

    step: int
    this: float
    other: float
    is_apart: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """From where on two courses stay apart.

    Attributes:
        since: the onset is the first step from this one on at which both have a value.
        nearest: of those seen the first from there on; ``is_it`` where none is before it.
        exact: false where the onset may be earlier: looking ended before that was decided.
    """

    since: int
    nearest: Point
    is_it: bool
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lone:
    """A step within, the later ones all apart but for others as lone: what follows, how many do."""

    point: Point
    after: Onset
    behind: int


class OnsetSearch:
    """Is told of the common steps at which both have a value, the newest first.

    Attributes:
        is_open: whether more has to be seen. onset: once closed; None where they do not part.
    """

    def __init__(self) -> None:
        self.is_open = True
        self.onset: Onset | None = None
        self._seen = 0
        self._oldest: Point | None = None
        self._reached: int | None = None
        self._lone: _Lone | None = None
        self._apart = 0

    @property
    def may_skip(self) -> bool:
        """Whether a stretch that is apart throughout decides nothing, however many steps it has."""
        return self._seen >= HOLD and (self._lone is None or self._apart >= RESOLVED)

    def see(self, point: Point) -> None:
        """The next older step."""
        if point.is_apart:
            self._apart += 1
        elif self._oldest is None:
            self._close(None)
        elif self._lone is not None and self._apart < RESOLVED:
            self._close_at_pair(self._lone)
        else:
            self._lone = _Lone(
                point=point, after=self._onset(point.step + 1, self._oldest), behind=self._seen
            )
            self._apart = 0
        self._seen += 1
        self._oldest, self._reached = point, None

    def skip(self, first_step: int) -> None:
        """A stretch that begins at a step and is apart throughout; only where ``may_skip``."""
        self._reached = first_step

    def reach_begin(self, first_step: int) -> None:
        """There is no older step; the first common one is this."""
        if self._oldest is None:
            self._close(None)
        elif self._lone is not None and not self._apart:
            self._close(self._lone.after if self._lone.behind >= HOLD else None)
        else:
            self._close(self._onset(first_step, self._oldest))

    def give_up(self) -> None:
        """Nothing older is looked at: they are apart from what was seen on, or from before it."""
        found = None
        if self._lone is not None and self._apart < RESOLVED:
            found = self._lone.after if self._lone.behind >= HOLD else None
        elif self._oldest is not None and self._seen >= HOLD:
            since = self._oldest.step if self._reached is None else self._reached
            found = self._onset(since, self._oldest)
        self._close(None if found is None else replace(found, exact=False))

    def _onset(self, since: int, nearest: Point) -> Onset:
        return Onset(since=since, nearest=nearest, is_it=self._reached is None, exact=True)

    def _close_at_pair(self, lone: _Lone) -> None:
        """Two within, at most one between them: the median is within up to the later of them."""
        if not self._apart:
            self._close(lone.after if lone.behind >= HOLD else None)
        else:
            at = Onset(since=lone.point.step, nearest=lone.point, is_it=True, exact=True)
            self._close(at if lone.behind + 1 >= HOLD else None)

    def _close(self, onset: Onset | None) -> None:
        self.onset, self.is_open = onset, False


def points_of(
    statistic: str,
    steps: NDArray[np.int64],
    this: NDArray[np.float64],
    other: NDArray[np.float64],
) -> Iterator[Point]:
    """The steps at which both have a value, in the order given, made as they are asked for.

    Args:
        steps: int64 [N]. this, other: of a statistic of ``LEVELS``, float64 [N], NaN without one.
    """
    known = np.flatnonzero(np.isfinite(this) & np.isfinite(other))
    apart = difference(statistic, this[known], other[known]) > LEVELS[statistic]
    columns = (steps[known], this[known], other[known], apart)
    for step, mine, theirs, far in zip(*(one.tolist() for one in columns), strict=True):
        yield Point(step=step, this=mine, other=theirs, is_apart=far)


def are_apart(
    statistic: str, this: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether any two values between the extremes of both are more than the level apart.

    Args:
        this, other: the least and the greatest, [2, ...]; NaN, without a value, proves nothing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if BY_NAME[statistic].log_scale:
            this, other = np.log(this), np.log(other)
        between = np.fmax(this[0] - other[1], other[0] - this[1])
        found: NDArray[np.bool_] = between > LEVELS[statistic] * (1 + ROUNDING)
    return found
