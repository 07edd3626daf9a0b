"""Another kind of distribution is told when it holds, and a tensor at the border only once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bifurk_service.detect.shape_change import ShapeChange
from bifurk_service.detect.streams import EVENTS, MEASURED_NULLS, clocks
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.stats.rows.elements import SHAPE_CLASSES
from tests.detect.runs import Report, detections, marked

SHAPE = BY_NAME["shape_class"]


def _told(*runs: tuple[str, int], resumes_at: int | None = None) -> list[Report]:
    classes: Sequence[float] = [
        float(SHAPE_CLASSES.index(name)) for name, length in runs for _ in range(length)
    ]
    times = clocks(len(classes))
    if resumes_at is not None:
        times = marked(resumes_at, "resume")(times)
    return detections(ShapeChange(SHAPE), np.array(classes)[:, None], clock=times)


def test_a_class_that_holds_is_told_at_the_third_snapshot() -> None:
    ((index, found),) = _told(("gaussian", 10), ("laplace_like", 20))
    assert index == 12
    assert (found.details["from"], found.details["to"]) == ("gaussian", "laplace_like")
    assert (found.onset_first_step, found.onset_last_step) == (100, 110)
    assert (SHAPE_CLASSES[int(found.before)], SHAPE_CLASSES[int(found.after)]) == (
        "gaussian",
        "laplace_like",
    )


def test_two_snapshots_of_another_class_are_nothing() -> None:
    assert _told(*[("gaussian", 10), ("flat", 2)] * 10) == []


def test_a_class_that_never_settled_changes_nothing() -> None:
    assert _told(*[("gaussian", 5), ("flat", 5)] * 10) == []


def test_going_to_and_fro_is_told_once() -> None:
    assert len(_told(*[("gaussian", 8), ("flat", 8)] * 10)) == 1


def test_after_a_long_hold_the_way_back_is_told() -> None:
    assert len(_told(("gaussian", 8), ("flat", 24), ("gaussian", 8))) == 2


def test_the_class_of_the_first_snapshot_is_no_change() -> None:
    assert _told(("laplace_like", 40)) == []


def test_a_resume_begins_anew() -> None:
    assert _told(("gaussian", 10), ("flat", 10), resumes_at=10) == []


def test_gaussian_values_that_move_stay_gaussian() -> None:
    stream = MEASURED_NULLS["Gaussian shape"](np.random.default_rng(1), 8, 80)
    assert detections(ShapeChange(SHAPE), stream.values, valid=stream.valid) == []


def test_values_that_become_laplace_are_told() -> None:
    stream = EVENTS["shape changes"].generate(np.random.default_rng(2), 8, 80)
    found = detections(ShapeChange(SHAPE), stream.values, valid=stream.valid)
    assert {one.series for _, one in found} == set(range(stream.values.shape[1]))
