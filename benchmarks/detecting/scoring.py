"""From detections on labelled streams to rates, powers and delays, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from bifurk_service.detect.streams import Stream

NORMAL_95: Final = 1.959963984540054
HORIZON: Final = 60
"""Snapshots after the onset within which a detection counts as one of the event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One detection, or a peer's alarm.

    Attributes:
        series: which series. snapshot: at which it was made.
        onset_first, onset_last: snapshots between which it began, where that is told.
    """

    series: int
    snapshot: int
    score: float = 1.0
    onset_first: int | None = None
    onset_last: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A count of a number of trials, with Wilson's 95 % interval."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 1927; exact enough at 0 and 1."""
        if not self.of:
            return math.nan, math.nan
        spread = NORMAL_95**2 / self.of
        middle = (self.value + spread / 2) / (1 + spread)
        half = math.sqrt(self.value * (1 - self.value) / self.of + spread / (4 * self.of))
        half *= NORMAL_95 / (1 + spread)
        return max(middle - half, 0.0), min(middle + half, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Null:
    """How often a healthy family was called ill.

    Attributes:
        series: shares of series (of groups of layers, where there are) with any detection.
        detections: all of them. snapshots: values judged, of all series.
    """

    series: Share
    detections: int
    snapshots: int

    @property
    def per_10000(self) -> float:
        return 1e4 * self.detections / self.snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How well an event was seen.

    Attributes:
        seen: series (groups) with a detection from the onset on, within ``HORIZON``.
        before: series (groups) with one before that.
        delays: of each that was seen, snapshots from the onset on, the onset's own counted as 1.
        onset_errors: of each first detection, middle of its onset interval less the true onset.
        covered: of these intervals, how many hold the true onset.
    """

    seen: Share
    before: Share
    delays: tuple[int, ...]
    onset_errors: tuple[float, ...]
    covered: Share

    def delay(self, quantile: float) -> float:
        return float(np.quantile(self.delays, quantile)) if self.delays else math.nan

    def within(self, snapshots: int) -> Share:
        """Share that was seen this soon."""
        return Share(count=sum(delay <= snapshots for delay in self.delays), of=self.seen.of)

    @property
    def onset_error(self) -> float:
        """Median size of the onset's error, snapshots."""
        return float(np.median(np.abs(self.onset_errors))) if self.onset_errors else math.nan


def units_of(stream: Stream) -> list[int]:
    """The unit that each series belongs to: itself, or its group of layers."""
    if not stream.tensors:
        return list(range(stream.values.shape[1]))
    prefixes: dict[str, int] = {}
    return [
        prefixes.setdefault(tensor.name.partition(".")[0], len(prefixes))
        for tensor in stream.tensors
    ]


def null_of(stream: Stream, seen: Iterable[Seen]) -> Null:
    """Scores a healthy stream."""
    units, found = units_of(stream), list(seen)
    ill = {units[one.series] for one in found}
    return Null(
        series=Share(count=len(ill), of=len(set(units))),
        detections=len(found),
        snapshots=int(stream.valid.sum()),
    )


def power_of(stream: Stream, seen: Iterable[Seen], *, horizon: int = HORIZON) -> Power:
    """Scores a stream with an event; detections before it are counted apart."""
    assert stream.onset is not None
    units, first = units_of(stream), stream.onset - stream.early
    total = len(set(units))
    early = {}
    hits: dict[int, Seen] = {}
    for one in sorted(seen, key=lambda one: one.snapshot):
        unit = units[one.series]
        if one.snapshot < first:
            early[unit] = one
        elif one.snapshot < stream.onset + horizon:
            hits.setdefault(unit, one)
    told = [one for one in hits.values() if one.onset_first is not None]
    return Power(
        seen=Share(count=len(hits), of=total),
        before=Share(count=len(early), of=total),
        delays=tuple(one.snapshot - stream.onset + 1 for one in hits.values()),
        onset_errors=tuple(_middle(one) - stream.onset for one in told),
        covered=Share(count=sum(_covers(one, stream.onset) for one in told), of=len(told)),
    )


def _middle(one: Seen) -> float:
    assert one.onset_first is not None
    assert one.onset_last is not None
    # The interval opens with the last snapshot before the onset.
    return (one.onset_first + 1 + one.onset_last) / 2


def _covers(one: Seen, onset: int) -> bool:
    assert one.onset_first is not None
    assert one.onset_last is not None
    return one.onset_first <= onset <= one.onset_last
