"""From what was found of a run and its baseline to its alert: raised, grown, over."""

from __future__ import annotations

from typing import Final

from bifurk_service.detect.leaves_baseline import Found, baseline_alert, fingerprint_of
from bifurk_service.detect.schedule import CHECKPOINT
from bifurk_service.domain import Alert
from bifurk_service.notify.rules import Ruler
from bifurk_service.pipeline.reporting import report_alert
from bifurk_service.store.alert_history import SERVICE, resolved_by
from bifurk_service.store.alerts import resolve
from bifurk_service.store.baselines import (
    JudgedRun,
    alerts_of_fingerprint,
    is_open,
    is_still_there,
    last_mark,
    place_of,
)
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.timeline import timeline

BACK: Final = "the run is back in the band of its good runs"


def report(database: Database, run: JudgedRun, found: Found, policy: Ruler, *, now: float) -> bool:
    """Brings the run's alert about this baseline up to date; says nothing twice.

    It belongs to the attempt at whose snapshot it was seen. What was over before it was told of is
    told and resolved at once, so that nothing depends on when somebody looked.

    Returns:
        Whether it is: not where the run was deleted, or begun again before that snapshot.
    """
    with database.write() as session:
        if not is_still_there(session, run):
            return False
        standing = None
        if found.departure is not None:
            seen = int(found.outside.steps[found.departure.seen])
            stretches = timeline(session, run.run_id)
            place = place_of(session, stretches, seen)
            if place is None:
                return False
            attempt, sequence = place
            alert = baseline_alert(
                run.run,
                found,
                sequence=sequence,
                checkpoint_before=lambda step: last_mark(session, stretches, CHECKPOINT, step),
            )
            known = _of(session, run, found).get(attempt.id)
            is_over = found.departure.over is not None
            if known is None or (not is_over and _is_news(session, known, alert)):
                report_alert(session, attempt, alert, policy, now=now)
            standing = None if is_over else attempt.id
        for attempt_id, known in _of(session, run, found).items():
            if attempt_id != standing and is_open(known):
                resolve(session, known, note=BACK, now=now)
    return True


def _of(session: Session, run: JudgedRun, found: Found) -> dict[int, StoredAlert]:
    """By attempt, the alerts about this baseline."""
    fingerprint = fingerprint_of(run.run, found.baseline)
    every = alerts_of_fingerprint(session, run.run_id, fingerprint)
    return {alert.attempt_id: alert for alert in every}


def _is_news(session: Session, known: StoredAlert, alert: Alert) -> bool:
    """Whether more has left, or it stands again after it was resolved by itself."""
    said, now = known.evidence.get("courses_left"), alert.evidence["courses_left"]
    if said != now or known.detected_step != alert.detected_step:
        return True
    resolved = not is_open(known) and not known.superseded
    return resolved and resolved_by(session, known) == SERVICE
