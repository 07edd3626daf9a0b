"""Where two runs part, from the stored series of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bifurk_service.api.comparison_shapes import PartedAnswer, PartingAnswer
from bifurk_service.api.ratios import ratio
from bifurk_service.api.schemas import TensorReference
from bifurk_service.errors import InvalidError
from bifurk_service.stats.parting import (
    LEVELS,
    MATRIX_DIMENSIONS,
    Course,
    Parted,
    compare_courses,
    excess,
)
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Tensor
from bifurk_service.store.series import statistic_courses
from bifurk_service.store.snapshot_lists import measured_steps

MOST_POINTS: Final = 2_000_000
"""Read of both runs together, tensors times steps: some seconds and 100 MB."""


def parting_of(
    session: Session, this: tuple[int, Sequence[Tensor]], other: tuple[int, Sequence[Tensor]]
) -> PartingAnswer:
    """Compares two runs over all steps that both have.

    Args:
        session: to read with. this, other: a run's id and its tensors, the two in the same order.

    Raises:
        InvalidError: there is more to read than an answer may take.
    """
    steps = [measured_steps(session, run_id) for run_id, _ in (this, other)]
    common = sorted(set(steps[0]) & set(steps[1]))
    _check(len(this[1]), steps)
    matrices = [len(tensor.shape) >= MATRIX_DIMENSIONS for tensor in this[1]]
    compared = [
        compare_courses(mine, theirs)
        for mine, theirs in zip(_courses(session, *this), _courses(session, *other), strict=True)
    ]
    differing = [one.first_difference for one in compared if one.first_difference is not None]
    parted = [
        (tensor, course.parted)
        for tensor, course, is_matrix in zip(this[1], compared, matrices, strict=True)
        if course.parted and is_matrix
    ]
    ordered = sorted(parted, key=lambda one: (one[1][0].step, -excess(one[1][0])))
    before = [step for step in common if ordered and step < ordered[0][1][0].step]
    return PartingAnswer(
        levels=LEVELS,
        matrices=sum(matrices),
        common_steps=len(common),
        first_step=common[0] if common else None,
        last_step=common[-1] if common else None,
        first_difference=min(differing, default=None),
        last_together=before[-1] if before else None,
        tensors=[_parted(tensor, found) for tensor, found in ordered],
    )


def _check(tensors: int, steps: Sequence[Sequence[int]]) -> None:
    if tensors * sum(map(len, steps)) > MOST_POINTS:
        raise InvalidError(
            f"{tensors} tensors at {len(steps[0])} and {len(steps[1])} steps are more than "
            f"{MOST_POINTS} points; name a role, a layer or a glob",
            where="tensor",
        )


def _courses(session: Session, run_id: int, tensors: Sequence[Tensor]) -> list[Course]:
    found = statistic_courses(session, run_id, tuple(LEVELS), [tensor.id for tensor in tensors])
    return [Course(steps=course.steps, values=course.values) for course in found]


def _parted(tensor: Tensor, found: Sequence[Parted]) -> PartedAnswer:
    first = found[0]
    return PartedAnswer(
        tensor=TensorReference.model_validate(tensor),
        step=first.step,
        statistic=first.statistic,
        this=first.this,
        other=first.other,
        ratio=ratio(first.statistic, first.this, first.other),
        statistics=[one.statistic for one in found],
    )
