"""Where a statistic's values lie: in the table, or among what the run has brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy.orm import Session

from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.condensed_courses import imported_row
from bifurk_service.store.courses import Courses, on_common_steps, read_stretch
from bifurk_service.store.imports import ENDS, imported_ids, imported_points
from bifurk_service.store.outline_pieces import Window
from bifurk_service.store.series import ends_of
from bifurk_service.store.timeline import Stretch


def stored_statistic(session: Session, run_id: int, name: str) -> StoredStatistic:
    """One of the table, or one that the run has brought; without any value where it is neither."""
    if name in BY_NAME:
        return OfTable(row=name)
    own = imported_ids(session, run_id)
    place = list(own).index(name) if name in own else len(own)
    return OfRun(row=imported_row(place), statistic_id=own.get(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class OfTable:
    """A statistic of the table; ``row`` names it, and its rows of what is condensed."""

    row: str

    def between(
        self, session: Session, ids: Sequence[int], stretch: Stretch, first: int, last: int
    ) -> Courses:
        """Courses of tensors in a stretch between two steps, both included."""
        return read_stretch(session, self.row, ids, stretch, first_step=first, last_step=last)

    def ends(self, session: Session, tensor_id: int, one: Window) -> list[tuple[int, float]]:
        """Step and value of a tensor's first and last row in a window."""
        return ends_of(session, self.row, tensor_id, one.stretch, one.first_step, one.last_step)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfRun:
    """One that the run has brought; ``row`` names its rows of what is condensed."""

    row: str
    statistic_id: int | None

    def between(
        self, session: Session, ids: Sequence[int], stretch: Stretch, first: int, last: int
    ) -> Courses:
        """Courses of tensors in a stretch between two steps, both included."""
        found = [
            imported_points(session, self.statistic_id, one, stretch, first, last) for one in ids
        ]
        return on_common_steps([steps for steps, _ in found], [values for _, values in found])

    def ends(self, session: Session, tensor_id: int, one: Window) -> list[tuple[int, float]]:
        """Step and value of a tensor's first and last row in a window."""
        return [
            (int(step), float(value))
            for only in ENDS
            for step, value in zip(
                *imported_points(
                    session,
                    self.statistic_id,
                    tensor_id,
                    one.stretch,
                    one.first_step,
                    one.last_step,
                    only=only,
                ),
                strict=True,
            )
        ]


StoredStatistic: TypeAlias = OfTable | OfRun
