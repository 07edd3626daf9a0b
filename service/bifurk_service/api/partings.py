"""Where two runs part, from the stored series of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from bifurk_service.api.comparison_shapes import PartedAnswer, PartingAnswer
from bifurk_service.api.course_pairs import Budget, Compared, CoursePair
from bifurk_service.api.first_differences import (
    FirstDifference,
    differing_steps,
    first_difference,
)
from bifurk_service.api.onsets import onsets
from bifurk_service.api.ratios import ratio
from bifurk_service.api.schemas import TensorReference
from bifurk_service.stats.parting import (
    LEVELS,
    MATRIX_DIMENSIONS,
    Course,
    Parted,
    compare_courses,
    excess,
)
from bifurk_service.store.common_steps import CommonSteps
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Tensor
from bifurk_service.store.series import statistic_courses
from bifurk_service.store.snapshot_lists import measured_steps
from bifurk_service.store.sums import sums_of

MOST_POINTS: Final = 250_000
"""Tensors times snapshots of both runs: so many are read one by one, in a second or less."""
BUDGET: Final = 1_000_000
"""Values read of longer runs where what is condensed does not decide: a few seconds at most."""
TAIL: Final = 32
"""Common steps at the end of longer runs that are always read."""

Side: TypeAlias = tuple[int, Sequence[Tensor]]
"""A run's id and its tensors."""
PartedTensor: TypeAlias = tuple[Tensor, Sequence[Parted]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What there is to tell of two runs.

    ``common`` is None where common steps were not counted, ``is_exact`` whether where they part
    was decided of all matrices.
    """

    common: int | None
    first: int | None
    last: int | None
    difference: FirstDifference
    last_together: int | None
    parted: Sequence[PartedTensor]
    is_exact: bool = True


def parting_of(
    session: Session,
    this: Side,
    other: Side,
    *,
    most_points: int = MOST_POINTS,
    budget: int = BUDGET,
) -> PartingAnswer:
    """Compares two runs over all steps that both have.

    Args:
        this, other: a run's id and its tensors, the two in the same order.
        most_points: runs with more are compared over what is condensed of them.
        budget: so many values, about, are read of those where that does not decide, for each of
            the two questions: where they part, and where they first differ.
    """
    snapshots = sum(sums_of(session, run_id).whole for run_id, _ in (this, other))
    is_long = len(this[1]) * snapshots > most_points
    found = _of_long(session, this, other, budget) if is_long else _of(session, this, other)
    return PartingAnswer(
        levels=LEVELS,
        matrices=len(_matrices(this[1])),
        common_steps=found.common,
        first_step=found.first,
        last_step=found.last,
        first_difference=found.difference.step,
        first_difference_exact=found.difference.exact,
        last_together=found.last_together,
        exact=found.is_exact,
        tensors=[_parted(tensor, one) for tensor, one in found.parted],
    )


def _of(session: Session, this: Side, other: Side) -> _Found:
    """From every value."""
    steps = [set(measured_steps(session, run_id)) for run_id, _ in (this, other)]
    common = sorted(steps[0] & steps[1])
    compared = [
        compare_courses(mine, theirs)
        for mine, theirs in zip(_courses(session, *this), _courses(session, *other), strict=True)
    ]
    differing = [one.first_difference for one in compared if one.first_difference is not None]
    parted = _ordered(this[1], {place: compared[place].parted for place in _matrices(this[1])})
    before = [step for step in common if parted and step < parted[0][1][0].step]
    return _Found(
        common=len(common),
        first=common[0] if common else None,
        last=common[-1] if common else None,
        difference=FirstDifference(step=min(differing, default=None), exact=True),
        last_together=before[-1] if before else None,
        parted=parted,
    )


def _of_long(session: Session, this: Side, other: Side, budget: int) -> _Found:
    """From what is condensed, and from values where that does not decide."""
    pair = CoursePair(session, this, other, Budget(budget))
    newest = pair.steps(limit=TAIL, newest=True)
    if not newest.steps:
        return _of_none(is_exact=newest.until is None)
    oldest = pair.steps(limit=1)
    begin = _begin(oldest)
    tail = pair.at(newest.steps, tuple(LEVELS))
    found = onsets(pair, begin, tail, _matrices(this[1]))
    parted = _ordered(this[1], found.parted)
    pair.budget = Budget(budget)
    last = int(tail.steps[0])
    difference = _no_later(first_difference(pair, begin, last), tail, parted)
    before = CommonSteps(steps=())
    if parted:
        before = pair.steps(limit=1, last=parted[0][1][0].step - 1, newest=True)
    seen = [*oldest.steps, *before.steps, int(tail.steps[-1])]
    seen += [one.step for _, own in parted for one in own]
    seen += [] if difference.step is None else [difference.step]
    return _Found(
        common=None,
        first=min(seen),
        last=last,
        difference=difference,
        last_together=before.steps[0] if before.steps else None,
        parted=parted,
        is_exact=found.is_exact and before.until is None,
    )


def _begin(oldest: CommonSteps) -> int:
    """Before it there is no common step; there is one."""
    if oldest.steps:
        return oldest.steps[0]
    return 0 if oldest.until is None else oldest.until + 1


def _no_later(
    found: FirstDifference, tail: Compared, parted: Sequence[PartedTensor]
) -> FirstDifference:
    """Than what was seen on the way: looking for it may have ended before."""
    seen = [*differing_steps(tail).tolist(), *([] if found.step is None else [found.step])]
    seen += [one.step for _, own in parted for one in own if one.this != one.other]
    return FirstDifference(step=min(seen, default=None), exact=found.exact)


def _of_none(*, is_exact: bool) -> _Found:
    return _Found(
        common=0 if is_exact else None,
        first=None,
        last=None,
        difference=FirstDifference(step=None, exact=is_exact),
        last_together=None,
        parted=[],
        is_exact=is_exact,
    )


def _matrices(tensors: Sequence[Tensor]) -> list[int]:
    return [place for place, tensor in enumerate(tensors) if len(tensor.shape) >= MATRIX_DIMENSIONS]


def _ordered(
    tensors: Sequence[Tensor], found: Mapping[int, Sequence[Parted]]
) -> list[PartedTensor]:
    """Those with any, the earliest first; of each, its statistics in the same order."""
    parted = [
        (tensors[place], sorted(own, key=lambda one: (one.step, -excess(one))))
        for place, own in found.items()
        if own
    ]
    return sorted(parted, key=lambda one: (one[1][0].step, -excess(one[1][0])))


def _courses(session: Session, run_id: int, tensors: Sequence[Tensor]) -> list[Course]:
    found = statistic_courses(session, run_id, tuple(LEVELS), [tensor.id for tensor in tensors])
    return [Course(steps=course.steps, values=course.values) for course in found]


def _parted(tensor: Tensor, found: Sequence[Parted]) -> PartedAnswer:
    first = found[0]
    return PartedAnswer(
        tensor=TensorReference.model_validate(tensor),
        step=first.step,
        exact=all(one.exact for one in found),
        statistic=first.statistic,
        this=first.this,
        other=first.other,
        ratio=ratio(first.statistic, first.this, first.other),
        statistics=[one.statistic for one in found],
    )
