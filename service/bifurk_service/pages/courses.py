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
from bifurk_service.store.series import timeline

MOST_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """What courses depend on; a new attempt rewrites a timeline's past."""

    run_id: int
    statistic: str
    tensor_ids: tuple[int, ...]
    stretches: tuple[tuple[int, int], ...]


class CourseCache:
    """The courses read last, the least recently used given up first; thread-safe.

    What was read of a snapshot is final once a later one is measured; the last step is read again.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, Courses] = OrderedDict()

    def courses(
        self, session: Session, run_id: int, statistic: str, tensor_ids: Sequence[int]
    ) -> Courses:
        """A statistic of some tensors over all steps; what is given back is not to be changed."""
        key = _Key(
            run_id=run_id,
            statistic=statistic,
            tensor_ids=tuple(tensor_ids),
            stretches=tuple((s.attempt_id, s.first) for s in timeline(session, run_id)),
        )
        with self._lock:
            known = self._kept.get(key)
        found = self._read(session, key, known)
        with self._lock:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while self._bytes() > self._most_bytes and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return found

    def _read(self, session: Session, key: _Key, known: Courses | None) -> Courses:
        if known is None or len(known.steps) < 2:
            return read_courses(session, key.run_id, key.statistic, key.tensor_ids)
        settled = len(known.steps) - 1
        after = int(known.steps[settled - 1])
        new = read_courses(session, key.run_id, key.statistic, key.tensor_ids, after=after)
        return Courses(
            steps=np.concatenate((known.steps[:settled], new.steps)),
            values=np.concatenate((known.values[:, :settled], new.values), axis=1),
        )

    def _bytes(self) -> int:
        return sum(found.values.nbytes for found in self._kept.values())


def course_cache(request: Request) -> CourseCache:
    """The application's one."""
    return cast("CourseCache", request.app.state.courses)
