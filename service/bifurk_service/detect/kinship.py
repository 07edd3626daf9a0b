"""Parents and children: what several kinds see of one thing is told once, by the gravest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bifurk_service.detect.event import CRITICAL_KINDS, Event
from bifurk_service.detect.merge import AFTERMATH_SNAPSHOTS
from bifurk_service.detect.onset import overlap
from bifurk_service.domain import Severity


def gather(
    events: Sequence[Event],
    touched: Sequence[Event],
    *,
    severity: Callable[[Event], Severity],
) -> list[Event]:
    """Gives parents to the events that are new or have grown, or makes them parents.

    Related events of several kinds have one head: the gravest, the earliest of equals. It has no
    parent, the others have it. What is critical by its kind alone is never a part of another.

    Args:
        events: all that are remembered, in order of their beginning.
        touched: those of them that are new or have grown.
        severity: how grave one is.

    Returns:
        ``touched`` and those that have another parent than before, in order of their beginning.
    """
    before = {event.fingerprint: event.parent for event in events}
    for event in touched:
        _outgrow(event, events, severity)
        root = _root(event, events)
        roots = [root, *(_root(one, events) for one in events if _are_kin(event, one))]
        heads = [one for one in events if one in roots and not one.parent]
        if root not in heads:
            continue
        head = min(heads, key=lambda one: (-severity(one).rank, one.first_sequence))
        for other in heads:
            if other is not head and (other is root or head is root):
                _adopt(other, head, events)
    changed = [event for event in events if event.parent != before[event.fingerprint]]
    return [event for event in events if event in touched or event in changed]


def _are_kin(one: Event, other: Event) -> bool:
    if one.kind == other.kind or not one.named & other.named:
        return False
    apart = abs(one.first_sequence - other.first_sequence)
    return apart < AFTERMATH_SNAPSHOTS or overlap(one.onset, other.onset)


def _outgrow(event: Event, events: Sequence[Event], severity: Callable[[Event], Severity]) -> None:
    """A child that has become graver than its parent changes places with it."""
    parent = _root(event, events)
    if parent is not event and severity(event).rank > severity(parent).rank:
        event.parent = ""
        _adopt(parent, event, events)


def _adopt(child: Event, head: Event, events: Iterable[Event]) -> None:
    if child.kind in CRITICAL_KINDS:
        return
    for event in events:
        if event.parent == child.fingerprint:
            event.parent = head.fingerprint
    child.parent = head.fingerprint


def _root(event: Event, events: Iterable[Event]) -> Event:
    """The event's parent, or itself where it has none that is still remembered."""
    return next((one for one in events if one.fingerprint == event.parent), event)
