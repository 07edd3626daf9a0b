"""Statistics across layers over steps, in fewer points where they are long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.store.condensed_courses import profile_roles, profile_row
from bifurk_service.store.courses import Courses, on_common_steps
from bifurk_service.store.kept_extremes import Points
from bifurk_service.store.models import ProfileValue
from bifurk_service.store.outline_pieces import Window, window_of
from bifurk_service.store.outlines import Source, by_step, is_long, outlined
from bifurk_service.store.profiles import profile_series
from bifurk_service.store.timeline import Stretch, timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileSeries:
    """One statistic across layers: ascending steps int64 [N], values float64 [N], NaN without.

    Attributes:
        role: empty where it is of the whole model.
        is_outlined: whether of a long one only extremes and ends are given.
    """

    role: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    is_outlined: bool


def outlined_profiles(
    session: Session,
    run_id: int,
    name: str,
    role: str | None = None,
    attempt: str | None = None,
    *,
    points: int,
) -> list[ProfileSeries]:
    """A statistic across layers over a run's timeline, roles in alphabetical order.

    All of a short run; of a long one extremes and ends, at most ``points`` a role. Where that is
    thinned, what was condensed before is among them.
    """
    windows = [
        window
        for stretch in timeline(session, run_id, attempt)
        if (window := window_of(session, stretch)) is not None
    ]
    if not is_long(session, windows, points=points):
        return [
            ProfileSeries(role=of_role, steps=steps, values=values, is_outlined=False)
            for of_role, steps, values in profile_series(session, run_id, name, role, attempt)
        ]
    places = {one: at for at, one in enumerate(profile_roles(session, run_id))}
    asked = sorted(places) if role is None else [one for one in places if one == role]

    def singles(stretch: Stretch, first_step: int, last_step: int) -> Courses:
        return _between(session, name, asked, stretch, first_step, last_step)

    source = Source(
        name=profile_row(name),
        places=np.array([places[one] for one in asked], dtype=np.intp),
        singles=singles,
    )
    answers = []
    found = outlined(session, windows, source, points=points)
    for of_role, points_of_role in zip(asked, found, strict=True):
        ends = _ends(session, name, of_role, windows)
        steps, values = by_step(
            *(np.append(*two) for two in zip(points_of_role, ends, strict=True))
        )
        if len(steps):
            answers.append(
                ProfileSeries(role=of_role, steps=steps, values=values, is_outlined=True)
            )
    return answers


def _between(
    session: Session,
    name: str,
    roles: Sequence[str],
    stretch: Stretch,
    first_step: int,
    last_step: int,
) -> Courses:
    """A statistic of some roles in a stretch between two steps, both included."""
    query = (
        select(ProfileValue.role, ProfileValue.step, ProfileValue.value)
        .where(
            ProfileValue.attempt_id == stretch.attempt_id,
            ProfileValue.name == name,
            ProfileValue.role.in_(roles),
            ProfileValue.step.between(first_step, stretch.last_step(last_step)),
        )
        .order_by(ProfileValue.step)
    )
    found: dict[str, list[tuple[int, float | None]]] = {role: [] for role in roles}
    for role, step, value in session.execute(query):
        found[role].append((step, value))
    return on_common_steps(
        [np.array([step for step, _ in one], dtype=np.int64) for one in found.values()],
        [np.array([value for _, value in one], dtype=np.float64) for one in found.values()],
    )


def _ends(session: Session, name: str, role: str, windows: Sequence[Window]) -> Points:
    """A role's first and last row in any window."""
    found: list[tuple[int, float | None]] = []
    for one in windows:
        query = select(ProfileValue.step, ProfileValue.value).where(
            ProfileValue.attempt_id == one.stretch.attempt_id,
            ProfileValue.name == name,
            ProfileValue.role == role,
            ProfileValue.step.between(one.first_step, one.last_step),
        )
        for order in (ProfileValue.step, ProfileValue.step.desc()):
            end = session.execute(query.order_by(order).limit(1)).first()
            if end is not None:
                found.append((end.step, end.value))
    found.sort(key=lambda end: end[0])
    ends = [found[0], found[-1]] if found else []
    return (
        np.array([step for step, _ in ends], dtype=np.int64),
        np.array([value for _, value in ends], dtype=np.float64),
    )
