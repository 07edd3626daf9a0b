"""What a detector saw of a stream that it was given with pauses, and its memory in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bifurk_service.detect.base import State
from tests.detect.runs import Report


class Remembers(Protocol):
    """Any detector."""

    def snapshot(self) -> State:
        """Its memory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a detector saw that saw all of the stream, and its memory on the way.

    Attributes:
        reports: all detections.
        states: by cut; as they were taken, and never written to by us.
        kept: a copy of each, made at once.
    """

    reports: list[Report]
    states: dict[int, State]
    kept: dict[int, State]


def seen_with_pauses(
    detector: Remembers, find: Callable[[slice], list[Report]], *, cuts: Sequence[int]
) -> Seen:
    """Gives a detector a stream up to each cut in turn, and takes its memory there.

    Args:
        find: gives it some of the snapshots; its detections, counted from the first of these.
        cuts: ascending; the last is the stream's length.
    """
    begin, seen = 0, Seen(reports=[], states={}, kept={})
    for cut in cuts:
        seen.reports.extend((index + begin, one) for index, one in find(slice(begin, cut)))
        seen.states[cut] = detector.snapshot()
        seen.kept[cut] = {name: array.copy() for name, array in seen.states[cut].items()}
        begin = cut
    return seen
