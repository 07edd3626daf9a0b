"""Steps of a course at which all is kept: its ends, how many they are, the nearest to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import AttemptSums, Snapshot
from bifurk_service.store.timeline import Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The first and the last step."""

    first: int
    last: int


def whole_ends(session: Session, course: Sequence[Stretch]) -> Ends | None:
    """The first and the last step with a measured snapshot that is whole; None without any.

    Args:
        course: of a timeline.
    """
    first = _first_of(session, [_ascending(one) for one in course])
    last = _first_of(session, [_descending(one) for one in course[::-1]])
    return None if first is None or last is None else Ends(first=first, last=last)


def nearest_whole(session: Session, course: Sequence[Stretch], step: int) -> int | None:
    """The step nearest to one, of two as near the earlier; None without any."""
    before = _first_of(session, [_descending(one, step) for one in course[::-1]])
    after = _first_of(session, [_ascending(one).where(Snapshot.step >= step) for one in course])
    found = [one for one in (before, after) if one is not None]
    return min(found, key=lambda one: abs(one - step), default=None)


def count_whole(session: Session, course: Sequence[Stretch]) -> int:
    """How many they are: all that an attempt has, but for those that another one went over."""
    return sum(_count(session, one) for one in course)


def _count(session: Session, stretch: Stretch) -> int:
    own = AttemptSums.attempt_id == stretch.attempt_id
    count = session.scalar(select(AttemptSums.whole).where(own)) or 0
    if stretch.end is None:
        return count
    beyond = _whole(stretch.attempt_id).where(Snapshot.step >= stretch.end)
    return count - (session.scalar(select(func.count()).select_from(beyond.subquery())) or 0)


def _first_of(session: Session, queries: Sequence[Select[int]]) -> int | None:
    for query in queries:
        found = session.scalar(query.limit(1))
        if found is not None:
            return found
    return None


def _ascending(stretch: Stretch) -> Select[int]:
    return _of(stretch).order_by(Snapshot.step)


def _descending(stretch: Stretch, last_step: int | None = None) -> Select[int]:
    return _of(stretch, last_step).order_by(Snapshot.step.desc())


def _of(stretch: Stretch, last_step: int | None = None) -> Select[int]:
    query, last = _whole(stretch.attempt_id), stretch.last_step(last_step)
    return query if last is None else query.where(Snapshot.step <= last)


def _whole(attempt_id: int) -> Select[int]:
    return select(Snapshot.step).where(
        Snapshot.attempt_id == attempt_id,
        Snapshot.measured_at.is_not(None),
        Snapshot.thinned == 0,
    )
