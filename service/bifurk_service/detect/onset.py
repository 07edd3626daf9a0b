"""Orders of beginning: which statistic of a tensor, which tensor, which layer was first.

An onset is an interval of steps, not a step. One began before another only where its interval
ends before the other's begins; anything else is not resolved. Order of onset is no cause.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from bifurk_service.domain import AffectedTensor

Interval: TypeAlias = tuple[int, int]
"""First and last step; it began after the first, where a snapshot was still as before."""


def commonest_interval(intervals: Iterable[Interval]) -> Interval:
    """The interval in which most began, the earliest of equals."""
    counts = Counter(intervals)
    most = max(counts.values())
    return min(interval for interval, count in counts.items() if count == most)


def by_onset(interval: Interval) -> tuple[int, int]:
    """Sorts by the middle of the interval, then by its end."""
    first, last = interval
    return first + last, last


def overlap(one: Interval, other: Interval) -> bool:
    """Whether both may have begun at the same step."""
    return one == other or (one[0] < other[1] and other[0] < one[1])


def first_of(intervals: Mapping[str, Interval]) -> str:
    """The one that began before all others; "" where there is one alone or none is resolved."""
    if len(intervals) < 2:
        return ""
    (earliest, interval), *others = sorted(
        intervals.items(), key=lambda item: (item[1][1], item[1][0], item[0])
    )
    begins = min(other[0] for _, other in others)
    return earliest if interval[1] <= begins and interval not in dict(others).values() else ""


def interval_of(intervals: Mapping[str, Interval], spoken: str) -> Interval:
    """When a tensor began, of its statistics' intervals.

    With the first where that is resolved, else with the one that is spoken of, if it has it.
    """
    resolved = first_of(intervals)
    return intervals.get(resolved or spoken, next(iter(intervals.values())))


def first_place(affected: Sequence[AffectedTensor]) -> str | None:
    """The layer, or the tensor of a model without layers, that began before all others.

    A layer begins with the median of its tensors, so that one early finding makes no order.
    None where there is but one place, "" where the order is not resolved.
    """
    groups: dict[str, list[Interval]] = defaultdict(list)
    for tensor in affected:
        layer = tensor.tensor.layer
        place = tensor.tensor.name if layer is None else f"layer {layer}"
        groups[place].append((tensor.onset_first_step, tensor.onset_last_step))
    if len(groups) < 2:
        return None
    return first_of({place: statistics.median_low(those) for place, those in groups.items()})
