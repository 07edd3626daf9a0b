"""Stored alerts in the words of a message."""

from __future__ import annotations

from bifurk_service.domain import Severity
from bifurk_service.notify.notice import Notice
from bifurk_service.store.deliveries import CLOSING
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Attempt, Project, Run, StoredAlert


def notice_of(
    session: Session, alert: StoredAlert, *, reason: str, now: float, public_url: str
) -> Notice:
    """An alert as it is now, told for a reason: raised, graver, resolved or superseded."""
    run = session.get_one(Run, alert.run_id)
    ended = reason in CLOSING
    return Notice(
        project=session.get_one(Project, run.project_id).slug,
        run=run.slug,
        attempt=session.get_one(Attempt, alert.attempt_id).slug,
        fingerprint=alert.fingerprint,
        kind=alert.kind,
        severity=Severity(alert.severity),
        status="resolved" if ended else "firing",
        sentence=alert.sentence,
        statistic=alert.statistic,
        onset_first_step=alert.onset_first_step,
        onset_last_step=alert.onset_last_step,
        detected_step=alert.detected_step,
        tensors=tuple(str(tensor["name"]) for tensor in alert.tensors),
        starts_at=alert.created_at,
        ends_at=(alert.resolved_at or now) if ended else None,
        url=f"{public_url}/alerts/{alert.id}" if public_url else "",
        graver=reason == "graver",
        superseded=alert.superseded,
    )
