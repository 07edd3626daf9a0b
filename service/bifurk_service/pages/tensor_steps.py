"""Stored steps that figures of a long run choose among: closer than what is drawn of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.pages.views import TensorView
from bifurk_service.store.carried_steps import CarriedSteps, Rows, carried_steps
from bifurk_service.store.engine import Session
from bifurk_service.store.near import Steps
from bifurk_service.store.timeline import timeline

CLOSE: Final = 1_000
"""Steps of a long run to choose among, and again of the stretch that is looked at."""
OF_AN_OCTAVE: Final = 200
"""On a logarithmic axis: steps between one and its double."""


def close_steps(
    session: Session, rows: Rows, run_id: int, tensor_id: int, view: TensorView
) -> CarriedSteps:
    """Of a long run: steps that lie closer on the axis than anything that is drawn of them.

    Args:
        rows: see ``carried_steps``.
    """
    course = timeline(session, run_id)
    whole = carried_steps(session, rows, tensor_id, course, most=CLOSE)
    if whole.is_whole:
        return whole
    parts = [
        carried_steps(
            session, rows, tensor_id, course, most=most, first_step=first, last_step=last
        ).steps
        for (first, last), most in _looked_at(whole.steps, view)
    ]
    return CarriedSteps(steps=np.unique(np.concatenate([whole.steps, *parts])), is_whole=False)


def _looked_at(steps: NDArray[np.int64], view: TensorView) -> Iterator[tuple[Steps, int]]:
    first, last = int(steps[0]), int(steps[-1])
    if view.first is not None or view.last is not None:
        begin = first if view.first is None else view.first
        yield (begin, last if view.last is None else view.last), CLOSE
    if view.axis == "log":
        for octave in range((first + 1).bit_length() - 1, (last + 1).bit_length()):
            yield ((1 << octave) - 1, (2 << octave) - 2), OF_AN_OCTAVE
