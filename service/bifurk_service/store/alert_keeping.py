"""What detectors report, kept: a new alert, or one that is known and has grown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.domain import AffectedTensor, Alert, AlertState, Mark, Severity
from bifurk_service.store.alert_history import SERVICE, Change, announce, record, resolved_by
from bifurk_service.store.models import Attempt, StoredAlert
from bifurk_service.store.superseding import supersede_if_overtaken


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An alert as it now stands, and what this report meant for it.

    Attributes:
        change: raised, grew, graver or reopened.
        was_open: whether it was there before, unresolved and not silenced.
    """

    alert: StoredAlert
    change: Change
    was_open: bool


def keep_alert(session: Session, attempt: Attempt, alert: Alert, *, now: float) -> Kept:
    """Stores a new alert, or brings the one with this fingerprint up to date.

    What was resolved by itself fires again when it grows; what a person has resolved stays so.
    """
    known = session.scalar(
        select(StoredAlert).where(
            StoredAlert.attempt_id == attempt.id, StoredAlert.fingerprint == alert.fingerprint
        )
    )
    if known is None:
        return _raise(session, attempt, alert, now)
    change = _change(session, known, alert)
    grown = _growth(known, alert)
    joins = alert.parent not in ("", known.parent)
    was_open = known.silenced_by is None and known.state != AlertState.RESOLVED.value
    _update(known, alert, now)
    if change is not Change.GREW:
        known.state, known.resolved_at = AlertState.FIRING.value, None
    if change is Change.GREW and grown is None:
        announce(session, known, change, now=now)
    else:
        record(session, known, change, note=grown, now=now)
    _settle(session, known, joins=joins, now=now)
    return Kept(alert=known, change=change, was_open=was_open)


def _raise(session: Session, attempt: Attempt, alert: Alert, now: float) -> Kept:
    stored = StoredAlert(
        run_id=attempt.run_id,
        attempt_id=attempt.id,
        fingerprint=alert.fingerprint,
        state=AlertState.FIRING.value,
        created_at=now,
        superseded=False,
    )
    _update(stored, alert, now)
    session.add(stored)
    session.flush()
    record(session, stored, Change.RAISED, now=now)
    _settle(session, stored, joins=alert.parent != "", now=now)
    return Kept(alert=stored, change=Change.RAISED, was_open=False)


def _settle(session: Session, stored: StoredAlert, *, joins: bool, now: float) -> None:
    if joins:
        record(session, stored, Change.JOINED, now=now)
    supersede_if_overtaken(session, stored, now=now)
    session.flush()


def _change(session: Session, known: StoredAlert, alert: Alert) -> Change:
    if known.state == AlertState.RESOLVED.value:
        by_itself = resolved_by(session, known) == SERVICE and not known.superseded
        return Change.REOPENED if by_itself else Change.GREW
    graver = alert.severity.rank > Severity(known.severity).rank
    return Change.GRAVER if graver else Change.GREW


def _growth(known: StoredAlert, alert: Alert) -> str | None:
    """Growth that is worth a line of history: past a power of two tensors, or another severity.

    So an event that takes in a thousand tensors one by one writes ten lines.
    """
    before, after = len(known.tensors), len(alert.tensors)
    if after.bit_length() > before.bit_length():
        return f"from {before} to {after} tensors"
    return None if alert.severity == known.severity else f"was {known.severity}"


def _update(stored: StoredAlert, alert: Alert, now: float) -> None:
    stored.kind = alert.kind
    stored.severity = alert.severity.value
    stored.statistic = alert.statistic
    stored.detected_step = alert.detected_step
    stored.detected_sequence = alert.detected_sequence
    stored.onset_first_step = alert.onset_first_step
    stored.onset_last_step = alert.onset_last_step
    stored.before = alert.before
    stored.after = alert.after
    stored.score = alert.score
    stored.sentence = alert.sentence
    stored.tensors = [_tensor(affected) for affected in alert.tensors]
    stored.explained_by = [_mark(mark) for mark in alert.explained_by]
    stored.checkpoint = None if alert.checkpoint is None else _mark(alert.checkpoint)
    stored.evidence = dict(alert.evidence)
    stored.parent = alert.parent
    stored.false_alarms_per_10000 = alert.false_alarms_per_10000
    stored.updated_at = now


def _tensor(affected: AffectedTensor) -> dict[str, Any]:
    return {
        "id": affected.tensor.id,
        "name": affected.tensor.name,
        "layer": affected.tensor.layer,
        "role": affected.tensor.role,
        "statistics": list(affected.statistics),
        "first_statistic": affected.first_statistic,
        "branch": affected.branch,
        "onset_first_step": affected.onset_first_step,
        "onset_last_step": affected.onset_last_step,
        "before": affected.before,
        "after": affected.after,
        "score": affected.score,
    }


def _mark(mark: Mark) -> dict[str, Any]:
    return {**asdict(mark), "details": dict(mark.details)}
