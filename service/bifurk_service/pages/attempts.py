"""A run's attempts as its page lists them: which steps of each are the run's course."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bifurk_service.figures.lines import Course
from bifurk_service.pages.scalars import scalar_course
from bifurk_service.store.beside import live_together
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Attempt
from bifurk_service.store.runs import attempts_of
from bifurk_service.store.timeline import Place, places

MOST_BRANCHES = 3
"""Drawn beside the course, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAttempt:
    """An attempt, where it lies, and whether it trains beside another one."""

    attempt: Attempt
    place: Place
    together: bool

    @property
    def said(self) -> str:
        """What its steps are to the run, in words."""
        if self.place.first is None:
            return "no snapshot yet"
        if self.place.end is None:
            return "the run's course"
        if not self.place.on_course:
            return "a branch: a later attempt began before it"
        last = self.attempt.last_step
        if last is not None and last < self.place.end:
            return "the run's course until it ended"
        return f"the run's course before step {self.place.end:,}, from there on a branch"


def listed_attempts(session: Session, run_id: int) -> list[ListedAttempt]:
    """All of a run, oldest first."""
    where = places(session, run_id)
    together = {attempt.id for attempt in live_together(session, run_id)}
    return [
        ListedAttempt(attempt=one, place=where[one.id], together=one.id in together)
        for one in attempts_of(session, run_id)
    ]


def branch_courses(session: Session, run_id: int, asked: str) -> list[Course]:
    """A scalar where later attempts went over it again, a course a branch, the newest first."""
    found: list[Course] = []
    for listed in listed_attempts(session, run_id)[::-1]:
        end = listed.place.end
        if end is None or len(found) == MOST_BRANCHES:
            continue
        course = scalar_course(session, run_id, asked, listed.attempt.slug)
        if course is not None and (course.steps >= end).any():
            found.append(_from(course, end, listed.attempt.slug))
    return found


def _from(course: Course, step: int, slug: str) -> Course:
    beyond = np.flatnonzero(course.steps >= step)
    return Course(name=f"branch {slug}", steps=course.steps[beyond], values=course.values[beyond])
