"""Which courses of a run have left the band of good runs, and when so many that it is the run's.

A course is one statistic of one group of layers. Of many courses held at once some leave by chance,
and courses of one run leave together by chance where they hang together. So each has more room than
on the page of comparisons, a share of all must be outside at a time, and more of them than any of
the good runs has outside of the band of the other good ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.domain import TensorInfo
from bifurk_service.stats.baseline import HOLD, LEAST_TO_TELL, Band, RunCourse, at_steps, band_of

MARGINS: Final[Mapping[int, float]] = {3: 5.0, 4: 3.0, 5: 2.0, 6: 1.5, 10: 1.0}
"""By good runs, how many widths beyond them a course may be: chosen so that one course of a run
just like them leaves in about one run of a hundred (docs/detectors/leaves_baseline.md)."""
LEAST_SHARE: Final = 0.1
"""Of the courses held, that must be outside at one time."""
LEAST_COURSES: Final = 3
"""At least, or all where fewer are held."""
STILL_OUT: Final = 0.25
"""It is over where no more of those that had left are outside."""
IN: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldCourse:
    """One statistic of one group of layers of a run, and of good runs.

    Attributes:
        group: the tensors' name common to runs. tensors: of this run.
        values: float64 [N] at the run's steps, NaN without one. good: by name of the run.
    """

    group: str
    statistic: str
    log_scale: bool
    tensors: Sequence[TensorInfo]
    values: NDArray[np.float64]
    good: Mapping[str, RunCourse]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outside:
    """C courses at N steps.

    Attributes:
        steps: int64 [N]. values: float64 [C, N]. bands: of each course.
        since: int64 [C, N], the place of the step at which the course left, as far as it is known
            at a step; ``IN`` where it is inside, or nothing can be said.
        known: int64 [C], at how many steps each could be told of.
        least_good: good runs without which nothing is told at a step.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    bands: Sequence[Band]
    since: NDArray[np.int64]
    known: NDArray[np.int64]
    least_good: int

    @property
    def told(self) -> int:
        """How many courses can be told of at all, at any step."""
        return int((self.known >= HOLD).sum())

    def places_told(self, course: int) -> NDArray[np.int64]:
        """Where one of the courses can be told of."""
        enough = self.bands[course].runs >= self.least_good
        return np.flatnonzero(np.isfinite(self.values[course]) & enough)

    def part(self, first: int, stop: int) -> Outside:
        """Some of the courses."""
        return Outside(
            steps=self.steps,
            values=self.values[first:stop],
            bands=self.bands[first:stop],
            since=self.since[first:stop],
            known=self.known[first:stop],
            least_good=self.least_good,
        )

    @property
    def most(self) -> int:
        """How many courses are outside at one time, at the most."""
        return int((self.since != IN).sum(axis=0).max(initial=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A run's: places of steps.

    Attributes:
        seen: where enough courses were outside. over: where they were back; None while they are
            not. courses: places of those that were outside meanwhile.
    """

    seen: int
    over: int | None
    courses: tuple[int, ...]


def outside(
    steps: NDArray[np.int64],
    held: Sequence[HeldCourse],
    *,
    least_good: int,
    earlier: Outside | None = None,
) -> Outside:
    """Holds courses against their bands; a step with fewer than ``least_good`` good runs is none.

    A course is outside after ``HOLD`` values in a row beyond its band on one side, and inside
    again after as many in a row that are not beyond it on either.

    Args:
        earlier: of the same courses at earlier steps, to go on from; see ``baseline_memory``.
    """
    before = earlier or _nothing(len(held), least_good)
    bands = [
        band.followed_by(
            band_of(
                steps,
                list(one.good.values()),
                log_scale=one.log_scale,
                margins=MARGINS,
                widest=float(band.widest[-1]) if len(band.widest) else math.nan,
            )
        )
        for one, band in zip(held, before.bands, strict=True)
    ]
    new = np.array([one.values for one in held]).reshape(len(held), len(steps))
    found = Outside(
        steps=np.concatenate((before.steps, steps)),
        values=np.concatenate((before.values, new), axis=1),
        bands=bands,
        since=np.concatenate((before.since, np.full(new.shape, IN, dtype=np.int64)), axis=1),
        known=before.known.copy(),
        least_good=least_good,
    )
    count = len(before.steps)
    for place, band in enumerate(bands):
        told = found.places_told(place)
        since = found.since[place]
        fresh = int(np.searchsorted(told, count))
        found.known[place] += len(told) - fresh
        entry = int(since[count - 1]) if count else IN
        known = told[max(fresh - HOLD + 1, 0) :]
        since[count:] = _since(band, found.values[place], known, entry)[count:]
    return found


def _nothing(courses: int, least_good: int) -> Outside:
    none = np.zeros(0, dtype=np.int64)
    band = band_of(none, (), log_scale=False)
    return Outside(
        steps=none,
        values=np.zeros((courses, 0)),
        bands=[band] * courses,
        since=np.zeros((courses, 0), dtype=np.int64),
        known=np.zeros(courses, dtype=np.int64),
        least_good=least_good,
    )


def joined(parts: Sequence[Outside]) -> Outside:
    """What was held in parts, over the same steps, as one.

    Raises:
        ValueError: there is none.
    """
    if not parts:
        raise ValueError("expected at least one part")
    return Outside(
        steps=parts[0].steps,
        values=np.concatenate([part.values for part in parts]),
        bands=[band for part in parts for band in part.bands],
        since=np.concatenate([part.since for part in parts]),
        known=np.concatenate([part.known for part in parts]),
        least_good=parts[0].least_good,
    )


def held_by_others(
    courses: Sequence[HeldCourse], name: str
) -> tuple[NDArray[np.int64], list[HeldCourse]]:
    """A good run's courses, held against the other good ones, and the steps of the good run."""
    with_it = [one for one in courses if name in one.good]
    steps = np.unique(
        np.concatenate([np.zeros(0, dtype=np.int64), *(one.good[name].steps for one in with_it)])
    )
    return steps, [
        HeldCourse(
            group=one.group,
            statistic=one.statistic,
            log_scale=one.log_scale,
            tensors=(),
            values=at_steps(steps, one.good[name]),
            good={other: course for other, course in one.good.items() if other != name},
        )
        for one in with_it
    ]


def most_of_good(courses: Sequence[HeldCourse]) -> dict[str, int]:
    """By good run, how many of its courses leave the band of the other good ones at one time.

    Empty where the others would be too few to tell.
    """
    return {
        name: outside(*held_by_others(courses, name), least_good=LEAST_TO_TELL).most
        for name in names_that_tell(courses)
    }


def names_that_tell(courses: Sequence[HeldCourse]) -> list[str]:
    """The good runs, where enough are left without any one of them; else none."""
    names = list(dict.fromkeys(name for one in courses for name in one.good))
    return names if len(names) > LEAST_TO_TELL else []


def required(told: int, good: Mapping[str, int]) -> int:
    """How many courses must be outside at one time.

    Args:
        told: how many can be told of. good: what ``most_of_good`` says.
    """
    share = max(min(LEAST_COURSES, told), math.ceil(LEAST_SHARE * told))
    return max(share, 1 + max(good.values(), default=0), 1)


def departures(found: Outside, *, least: int, first: int = 0) -> list[Departure]:
    """The stretches in which a run is away from its baseline, in order; only the last may go on.

    It begins where ``least`` courses are outside, and is over where at most ``STILL_OUT`` of all
    that were outside since then still are.

    Args:
        first: the place from which on one is looked for.
    """
    out = found.since != IN
    counts = out.sum(axis=0)
    departed: list[Departure] = []
    place = first
    while (begin := _first(counts[place:] >= least)) is not None:
        seen = place + begin
        over = _over(out[:, seen:], least)
        end = len(found.steps) if over is None else seen + over
        courses = tuple(np.flatnonzero(out[:, seen:end].any(axis=1)).tolist())
        departed.append(Departure(seen=seen, over=None if over is None else end, courses=courses))
        place = end
    return departed


def _over(out: NDArray[np.bool_], least: int) -> int | None:
    """The first step at which few enough are still outside of all that have been so far."""
    ever = np.maximum.accumulate(out, axis=1).sum(axis=0)
    now = out.sum(axis=0)
    return _first((now <= STILL_OUT * ever) & (now < least))


def _since(
    band: Band, values: NDArray[np.float64], known: NDArray[np.int64], entry: int
) -> NDArray[np.int64]:
    """At every step, the place of the value at which the course left; ``IN`` inside.

    Args:
        known: places of the values that count. entry: what it was before ``HOLD`` of them.
    """
    since = np.full(len(values), entry, dtype=np.int64)
    if len(known) < HOLD:
        return since
    shown = values[known]
    side = (shown > band.most[known]).astype(np.int8) - (shown < band.least[known])
    windows = np.lib.stride_tricks.sliding_window_view(side, HOLD)
    places = np.arange(len(windows))
    settled = (windows == windows[:, :1]).all(axis=1)
    last = np.maximum.accumulate(np.where(settled, places, IN))
    out = np.where(last == IN, entry != IN, side[last] != 0)
    begins = out & ~np.concatenate(([entry != IN], out[:-1]))
    began = np.maximum.accumulate(np.where(begins, places, IN))
    left = np.where(out, np.where(began == IN, entry, known[began]), IN)
    at = np.searchsorted(known[HOLD - 1 :], np.arange(len(values)), side="right") - 1
    since[at >= 0] = left[at[at >= 0]]
    return since


def _first(flags: NDArray[np.bool_]) -> int | None:
    found = np.flatnonzero(flags)
    return int(found[0]) if found.size else None
