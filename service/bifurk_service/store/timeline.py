"""A run's course over its attempts: which steps of each of them count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import Session

from bifurk_service.errors import NotFoundError
from bifurk_service.store.models import Attempt, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The steps of one attempt that count: [first, end), until a later attempt took over."""

    attempt_id: int
    first: int
    end: int | None

    def holds(self, step: int) -> bool:
        """Whether a step of the attempt counts."""
        return step >= self.first and (self.end is None or step < self.end)

    @overload
    def last_step(self, asked: int) -> int: ...

    @overload
    def last_step(self, asked: int | None = None) -> int | None: ...

    def last_step(self, asked: int | None = None) -> int | None:
        """The last step that may count, at most the one asked for; None where there is no bound.

        One bound: of two, databases look for the first that is named, and go through the rest.
        """
        own = None if self.end is None else self.end - 1
        return _least(own, asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an attempt lies: its first step, and where later attempts took over, None for never."""

    first: int | None
    end: int | None

    @property
    def on_course(self) -> bool:
        """Whether any of its steps count."""
        return self.first is not None and (self.end is None or self.first < self.end)


def places(session: Session, run_id: int) -> dict[int, Place]:
    """By id, where a run's attempts lie, by the rule of ``timeline``."""
    firsts = session.execute(
        select(Attempt.id, first_step()).where(Attempt.run_id == run_id).order_by(Attempt.id.desc())
    )
    found: dict[int, Place] = {}
    end: int | None = None
    for attempt_id, first in firsts:
        found[attempt_id] = Place(first=first, end=end)
        end = _least(end, first)
    return found


def timeline(session: Session, run_id: int, attempt: str | None = None) -> list[Stretch]:
    """A run's attempts as one course: where a later one begins, the earlier ones end.

    Args:
        attempt: only this one, whole, whatever went over its steps again.

    Raises:
        NotFoundError: the run has no attempt of this name; names those that it has.
    """
    if attempt is not None:
        return _branch(session, run_id, attempt)
    rows = session.execute(
        select(Attempt.id, first_step()).where(Attempt.run_id == run_id).order_by(Attempt.id.desc())
    )
    stretches: list[Stretch] = []
    end: int | None = None
    for attempt_id, first in rows:
        if first is not None and (end is None or first < end):
            stretches.append(Stretch(attempt_id=attempt_id, first=first, end=end))
            end = first
    return stretches[::-1]


def first_step() -> ScalarSelect[int]:
    """For a query over attempts: the first step of each, one look at an index; null without any."""
    steps = select(Snapshot.step).where(Snapshot.attempt_id == Attempt.id)
    return steps.order_by(Snapshot.step).limit(1).correlate(Attempt).scalar_subquery()


def _least(*steps: int | None) -> int | None:
    return min((step for step in steps if step is not None), default=None)


def _branch(session: Session, run_id: int, slug: str) -> list[Stretch]:
    query = select(Attempt.slug, Attempt.id).where(Attempt.run_id == run_id).order_by(Attempt.id)
    known = dict(session.execute(query).all())
    if slug not in known:
        raise NotFoundError(
            f"run {run_id} has no attempt {slug!r}; it has {', '.join(known) or 'none'}",
            where="attempt",
        )
    own = Snapshot.attempt_id == known[slug]
    first = session.scalar(select(func.min(Snapshot.step)).where(own))
    return [] if first is None else [Stretch(attempt_id=known[slug], first=first, end=None)]
