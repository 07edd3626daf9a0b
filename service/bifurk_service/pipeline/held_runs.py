"""Runs as they were held last: what is new is held alone, as long as nothing before it changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from bifurk_service.detect.baseline_departures import Departure, Outside
from bifurk_service.detect.baseline_memory import remembered
from bifurk_service.pipeline.course_memory import Key, ReadRun
from bifurk_service.stats.baseline import last_known
from bifurk_service.stats.registry import BY_NAME

MOST_RUNS: Final = 500
"""Those held least recently are forgotten, and held anew from their first step on."""

Place: TypeAlias = tuple[str, int]
"""Name of a baseline, and a run's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRun:
    """A run as it was found up to a step.

    Attributes:
        found: what is remembered of it, a place or more. departure: the newest, at places of it.
        needed: how many courses had to be outside.
        rests_on: of the run and of each good one what it was read from.
    """

    found: Outside
    departure: Departure | None
    needed: int
    rests_on: Mapping[str, _Rests]

    @property
    def until(self) -> int:
        """The last step."""
        return int(self.found.steps[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rests:
    """A run that was read.

    Attributes:
        origin, until: see ``ReadRun``. firm: up to this step its courses are what they are,
            whatever comes after what was read; beyond the last value there is no line.
    """

    origin: object
    until: int
    firm: int


class HeldRuns:
    """The runs held last, for one thread."""

    def __init__(self) -> None:
        self._held: OrderedDict[Place, tuple[tuple[Key, ...], HeldRun]] = OrderedDict()

    def known(self, place: Place, mine: ReadRun, good: Mapping[str, ReadRun]) -> HeldRun | None:
        """The run as it was held last; None where something before its end is another now.

        Args:
            mine, good: what is read now, of the good runs by name.
        """
        keys, held = self._held.get(place, ((), None))
        if held is None or keys != tuple(mine.courses) or held.rests_on.keys() != {"", *good}:
            return None
        is_same = all(
            _is_same(held.rests_on[name], read, held.until)
            for name, read in {"": mine, **good}.items()
        )
        return held if is_same else None

    def forget(self, place: Place) -> None:
        """Holds it anew the next time."""
        self._held.pop(place, None)

    def keep(
        self,
        place: Place,
        mine: ReadRun,
        good: Mapping[str, ReadRun],
        *,
        found: Outside,
        departure: Departure | None,
        needed: int,
    ) -> None:
        """Remembers what was found."""
        keys = tuple(mine.courses)
        rests_on = {name: _rests(read, keys) for name, read in good.items()}
        rests_on[""] = _Rests(origin=mine.origin, until=mine.until, firm=mine.until)
        less, there = remembered(found, departure)
        self._held[place] = (
            keys,
            HeldRun(found=less, departure=there, needed=needed, rests_on=rests_on),
        )
        self._held.move_to_end(place)
        while len(self._held) > MOST_RUNS:
            self._held.popitem(last=False)


def firm_until(read: ReadRun, keys: Collection[Key]) -> int:
    """The step up to which courses of a run are what they are, whatever comes after it."""
    own = [(key, read.courses[key]) for key in keys if key in read.courses]
    lasts = [last_known(course, log_scale=BY_NAME[key[1]].log_scale) for key, course in own]
    return min((one for one in lasts if one is not None), default=read.until)


def _rests(read: ReadRun, keys: tuple[Key, ...]) -> _Rests:
    return _Rests(origin=read.origin, until=read.until, firm=firm_until(read, keys))


def _is_same(then: _Rests, now: ReadRun, step: int) -> bool:
    """Whether a run's courses up to a step are those that they were."""
    return then.origin is now.origin and (then.until == now.until or step <= then.firm)
