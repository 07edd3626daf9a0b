"""Courses kept in memory: a page that follows a run reads only what is new."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from fastapi import Request

from bifurk_service.store.courses import Courses, read_courses
from bifurk_service.store.engine import Session
from bifurk_service.store.sums import measured_until
from bifurk_service.store.timeline import timeline

MOST_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """What courses depend on; a new attempt rewrites a timeline's past."""

    run_id: int
    statistic: str
    tensor_ids: tuple[int, ...]
    stretches: tuple[tuple[int, int], ...]
    attempt: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kept:
    """Courses as of a step, and how many snapshots were measured up to it."""

    courses: Courses
    measured: int
    last: int


class CourseCache:
    """The courses read last, the least recently used given up first; thread-safe.

    Snapshots are measured in no certain order: what was read is added to only where no snapshot
    has been measured since that belongs before its end, and read again whole where one has.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def courses(
        self,
        session: Session,
        run_id: int,
        statistic: str,
        tensor_ids: Sequence[int],
        attempt: str | None = None,
    ) -> Courses:
        """A statistic of some tensors over all steps; what is given back is not to be changed."""
        key = _Key(
            run_id=run_id,
            statistic=statistic,
            tensor_ids=tuple(tensor_ids),
            stretches=tuple((s.attempt_id, s.first) for s in timeline(session, run_id, attempt)),
            attempt=attempt,
        )
        with self._lock:
            known = self._kept.get(key)
        found = self._read(session, key, known)
        with self._lock:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while self._bytes() > self._most_bytes and self._kept:
                self._kept.popitem(last=False)
        return found.courses

    def _read(self, session: Session, key: _Key, known: _Kept | None) -> _Kept:
        measured, last = measured_until(session, key.run_id)
        if known is not None:
            if (measured, last) == (known.measured, known.last):
                return known
            if measured_until(session, key.run_id, known.last)[0] != known.measured:
                known = None
        after = known.last if known else -1
        courses = read_courses(
            session,
            key.run_id,
            key.statistic,
            key.tensor_ids,
            after=after,
            attempt=key.attempt,
        )
        if known is not None:
            courses = Courses(
                steps=np.concatenate((known.courses.steps, courses.steps)),
                values=np.concatenate((known.courses.values, courses.values), axis=1),
            )
        return _Kept(courses=courses, measured=measured, last=last)

    def _bytes(self) -> int:
        return sum(
            kept.courses.values.nbytes + kept.courses.steps.nbytes + 8 * len(key.tensor_ids)
            for key, kept in self._kept.items()
        )


def course_cache(request: Request) -> CourseCache:
    """The application's one."""
    return cast("CourseCache", request.app.state.courses)
