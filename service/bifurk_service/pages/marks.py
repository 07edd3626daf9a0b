"""What a run did of its own accord, as marks on the figures of an alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bifurk_service.detect.rates import Rates, change_between, joined, may_jump
from bifurk_service.detect.schedule import CHECKPOINT
from bifurk_service.domain import Mark
from bifurk_service.figures.evidence import RunMark
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.rate_changes import RateAt, neighbours_that_may_jump
from bifurk_service.store.snapshot_lists import marks_near

MOST_MARKS: Final = 400
"""Of a figure, those nearest the onset."""


def run_marks(session: Session, alert: StoredAlert) -> list[RunMark]:
    """A run's marks, changes of the learning rate, and the checkpoint to go back to.

    Other checkpoints are left out: they write weights and do not touch them.
    """
    onset = alert.onset_first_step
    near = marks_near(session, alert.run_id, onset, most=MOST_MARKS, without=CHECKPOINT)
    said = [(mark.kind, mark.step, mark.details) for mark in near]
    told = [(mark["kind"], mark["step"], mark["details"]) for mark in _attached(alert)]
    changed = [(mark.kind, mark.step, mark.details) for mark in _rate_changes(session, alert)]
    found = {
        (kind, step): RunMark(kind=kind, step=step, text=details_text(details))
        for kind, step, details in (*changed, *said, *told)
    }
    nearest = sorted(found.values(), key=lambda mark: abs(mark.step - onset))
    return sorted(nearest[:MOST_MARKS], key=lambda mark: (mark.kind, mark.step))


def details_text(details: Mapping[str, Any]) -> str:
    """A mark's details in a line."""
    return ", ".join(
        f"{name.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"
        for name, value in details.items()
        if value is not None
    )


def _attached(alert: StoredAlert) -> list[dict[str, Any]]:
    checkpoint = [] if alert.checkpoint is None else [alert.checkpoint]
    return [*alert.explained_by, *checkpoint]


def _rate_changes(session: Session, alert: StoredAlert) -> Sequence[Mark]:
    """Jumps of the first parameter group's learning rate; what is smooth is none."""
    neighbours = neighbours_that_may_jump(
        session, alert.run_id, may_jump=may_jump, around=alert.onset_first_step
    )
    changes = (change_between(*map(_rates, pair)) for pair in neighbours)
    return joined([change for change in changes if change is not None])


def _rates(one: RateAt) -> Rates:
    return Rates(step=one.step, rates=(one.rate,))
