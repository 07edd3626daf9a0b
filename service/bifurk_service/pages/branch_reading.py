"""What the figures of branches are drawn from: layers' courses, and values by depth at a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from bifurk_service.domain import LARGEST
from bifurk_service.figures.branches import LayerCourse, Profile, most_points
from bifurk_service.figures.lines import MOST_POINTS, Course
from bifurk_service.pages.branch_courses import ChosenLayers
from bifurk_service.pages.forks import branch_of, onset_of
from bifurk_service.pages.statistic_courses import courses_outlined, statistic_courses
from bifurk_service.pages.views import BranchesView
from bifurk_service.services import services
from bifurk_service.store.engine import Session
from bifurk_service.store.near import Steps
from bifurk_service.store.outlined_series import Asked, are_long
from bifurk_service.store.outlines import by_step
from bifurk_service.store.sums import measured_until
from bifurk_service.store.valued_steps import nearest_valued, values_at

SEARCHED: Final = 64
"""Points of a course that a step is looked for among, closer and closer."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profiles:
    """Layers, and their values at a step and at the first that is looked at, if it is another."""

    layers: Sequence[LayerCourse]
    at: Profile
    first: Profile | None


def read_layers(request: Request, found: ChosenLayers, view: BranchesView) -> list[LayerCourse]:
    """The layers' courses: every value, or of a long run extremes, more where it is looked at."""
    asked = _asked(found)
    with services(request).database.read() as session:
        if not are_long(session, asked):
            courses = _whole(request, session, found)
            return _layers(found, [_valued(one, view, _first_of(one)) for one in courses])
        courses = courses_outlined(session, asked, found.chosen.group.tensors, _looked_at(view))
        layers = _layers(found, courses, is_outlined=True)
        layers = _with_onsets(session, asked, layers)
        firsts = _firsts(session, asked) if view.values == "relative" else [np.nan] * len(layers)
    return [
        replace(layer, course=_valued(layer.course, view, first))
        for layer, first in zip(layers, firsts, strict=True)
    ]


def read_profiles(request: Request, found: ChosenLayers, view: BranchesView) -> Profiles | None:
    """The statistic by depth, at the stored steps nearest to those asked for; None without any.

    Without a step it is the last that is looked at, and the first of those beside it.
    """
    asked = _asked(found)
    with services(request).database.read() as session:
        _, newest = measured_until(session, found.run_id)
        last = int(view.at) if view.at else newest if view.last is None else view.last
        steps = [min(last, newest), min(view.first or 0, newest)]
        if not are_long(session, asked):
            courses = _whole(request, session, found)
            return _profiles_of_courses(found, courses, steps, view)
        asked = replace(asked, points=SEARCHED)
        nearest = [nearest_valued(session, asked, step) for step in steps]
        values = [values_at(session, asked, step) for step in nearest if step is not None]
        firsts = _firsts(session, asked) if view.values == "relative" else None
    return _profiles(found, [step for step in nearest if step is not None], values, firsts)


def _profiles_of_courses(
    found: ChosenLayers, courses: Sequence[Course], asked: Sequence[int], view: BranchesView
) -> Profiles | None:
    every = np.unique(np.concatenate([course.steps for course in courses]))
    if not every.size:
        return None
    steps = [int(every[np.argmin(np.abs(every - step))]) for step in asked]
    firsts = [_first_of(course) for course in courses] if view.values == "relative" else None
    return _profiles(found, steps, [_at(courses, step) for step in steps], firsts)


def _profiles(
    found: ChosenLayers,
    steps: Sequence[int],
    values: Sequence[NDArray[np.float64]],
    firsts: Sequence[float] | None,
) -> Profiles | None:
    if not steps:
        return None
    if firsts is not None:
        own = np.array([first or np.nan for first in firsts])
        values = [row / own for row in values]
    at, earlier = (Profile(step=step, values=row) for step, row in zip(steps, values, strict=True))
    none = np.zeros(0, dtype=np.int64)
    courses = [
        Course(name=tensor.name, steps=none, values=np.zeros(0))
        for tensor in found.chosen.group.tensors
    ]
    first = earlier if earlier.step != at.step else None
    return Profiles(layers=_layers(found, courses), at=at, first=first)


def _asked(found: ChosenLayers) -> Asked:
    tensors = found.chosen.group.tensors
    return Asked(
        run_id=found.run_id,
        statistic=found.chosen.statistic,
        tensor_ids=[tensor.id for tensor in tensors],
        points=min(MOST_POINTS, most_points(len(tensors))),
    )


def _looked_at(view: BranchesView) -> Steps | None:
    if view.first is None and view.last is None:
        return None
    return view.first or 0, LARGEST if view.last is None else view.last


def _whole(request: Request, session: Session, found: ChosenLayers) -> list[Course]:
    chosen = found.chosen
    return statistic_courses(request, session, found.run_id, chosen.statistic, chosen.group.tensors)


def _layers(
    found: ChosenLayers, courses: Sequence[Course], *, is_outlined: bool = False
) -> list[LayerCourse]:
    """Courses with what a fork says of their layers."""
    fork, group = found.chosen.coloring, found.chosen.group
    branches = {} if fork is None else branch_of(fork, group)
    begun = {} if fork is None else onset_of(fork)
    return [
        LayerCourse(
            layer=tensor.layer or 0,
            course=course,
            branch=branches.get(tensor.id),
            onset=begun.get(tensor.id),
            is_outlined=is_outlined,
        )
        for tensor, course in zip(group.tensors, courses, strict=True)
    ]


def _with_onsets(
    session: Session, asked: Asked, layers: Sequence[LayerCourse]
) -> list[LayerCourse]:
    """With each layer's value at the end of its onset, where a ring is drawn."""
    ends = {layer.onset[1] for layer in layers if layer.onset is not None}
    values = {step: values_at(session, asked, step) for step in ends}
    found = []
    for row, layer in enumerate(layers):
        course = layer.course
        if layer.onset is not None and np.isfinite(value := values[layer.onset[1]][row]):
            steps, all_values = by_step(
                np.append(course.steps, layer.onset[1]), np.append(course.values, value)
            )
            course = replace(course, steps=steps, values=all_values)
        found.append(replace(layer, course=course))
    return found


def _firsts(session: Session, asked: Asked) -> list[float]:
    """Each layer's first value; NaN without any."""
    firsts = []
    for tensor_id in asked.tensor_ids:
        own = replace(asked, tensor_ids=[tensor_id], points=SEARCHED)
        step = nearest_valued(session, own, 0)
        firsts.append(np.nan if step is None else float(values_at(session, own, step)[0]))
    return firsts


def _first_of(course: Course) -> float:
    return float(course.values[0]) if len(course.values) else np.nan


def _valued(course: Course, view: BranchesView, first: float) -> Course:
    if view.values != "relative":
        return course
    return replace(course, values=_ratio(course.values, first))


def _ratio(values: NDArray[np.float64], first: float) -> NDArray[np.float64]:
    return values / first if first else np.full_like(values, np.nan)


def _at(courses: Sequence[Course], step: int) -> NDArray[np.float64]:
    """Of each course the value at a step, NaN without."""
    places = [int(np.searchsorted(course.steps, step)) for course in courses]
    return np.array(
        [
            course.values[place]
            if place < len(course.steps) and course.steps[place] == step
            else np.nan
            for course, place in zip(courses, places, strict=True)
        ]
    )
