"""The outbox: what channels are to be told, written with the change that it tells of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, aliased

from bifurk_service.domain import AlertState, Severity
from bifurk_service.store.models import Delivery, Project, Run, StoredAlert

WAITING: Final = "waiting"
DELIVERED: Final = "delivered"
FAILED: Final = "failed"

OPENING: Final = ("raised", "graver")
"""Reasons that tell of an alert; a message is made when it is sent, of the alert as it is then."""
CLOSING: Final = ("resolved", "superseded")
"""Reasons that tell of its end."""


def enqueue(
    session: Session, alert: StoredAlert, channels: Sequence[str], *, reason: str, now: float
) -> None:
    """Writes down that channels are to be told; seen by the notifier when the session commits.

    Where the last message that waits is of the same sort it is enough: it says how the alert
    stands when it is made. One that is already under way says how it stood before; what it missed
    is put in when it has arrived, by ``enqueue_if_graver``.

    Args:
        reason: raised, graver, resolved or superseded.
    """
    if reason not in (*OPENING, *CLOSING):
        raise ValueError(f"expected one of {(*OPENING, *CLOSING)}, got {reason!r}")
    sort = OPENING if reason in OPENING else CLOSING
    waiting = session.scalars(
        select(Delivery)
        .where(Delivery.alert_id == alert.id, Delivery.state == WAITING)
        .order_by(Delivery.id)
    )
    last = {delivery.channel: delivery.reason for delivery in waiting}
    for channel in dict.fromkeys(channels):
        if last.get(channel) not in sort:
            session.add(
                Delivery(
                    alert_id=alert.id,
                    channel=channel,
                    reason=reason,
                    state=WAITING,
                    tries=0,
                    next_try_at=now,
                    created_at=now,
                )
            )
    session.flush()


def enqueue_for_told(session: Session, alert: StoredAlert, *, reason: str, now: float) -> None:
    """The same, to the channels that were told of this alert, or are about to be."""
    enqueue(session, alert, told_channels(session, alert.id), reason=reason, now=now)


def enqueue_if_graver(session: Session, delivery: Delivery, *, told: Severity, now: float) -> None:
    """Puts in what became graver while a message was under way and counted as waiting.

    Args:
        delivery: the message, noted as delivered. told: the severity that it spoke of.
    """
    alert = session.get_one(StoredAlert, delivery.alert_id, with_for_update=True)
    if (
        delivery.reason in OPENING
        and alert.state != AlertState.RESOLVED.value
        and alert.silenced_by is None
        and Severity(alert.severity).rank > told.rank
    ):
        enqueue(session, alert, [delivery.channel], reason="graver", now=now)


def told_channels(session: Session, alert_id: int) -> list[str]:
    """The channels that an alert went to or still waits for, the first told first."""
    query = (
        select(Delivery.channel)
        .where(
            Delivery.alert_id == alert_id,
            Delivery.state != FAILED,
            Delivery.reason.in_(OPENING),
        )
        .group_by(Delivery.channel)
        .order_by(func.min(Delivery.id))
    )
    return list(session.scalars(query))


def seconds_since_told(session: Session, run_id: int, kind: str, now: float) -> float | None:
    """How long ago an alert of a kind of a run was last enqueued; None: never."""
    last = session.scalar(
        select(func.max(Delivery.created_at))
        .join(StoredAlert, Delivery.alert_id == StoredAlert.id)
        .where(
            StoredAlert.run_id == run_id,
            StoredAlert.kind == kind,
            Delivery.reason.in_(OPENING),
        )
    )
    return None if last is None else max(0.0, now - last)


def due(
    session: Session, channel: str, *, now: float, longest_wait_seconds: float, limit: int
) -> list[Delivery]:
    """What a channel is to be told now, in order; of an alert never the end before the start.

    What is due later than any wait was meant to last is due now: the clock was set back.
    """
    earlier = aliased(Delivery)
    query = (
        select(Delivery)
        .where(
            Delivery.channel == channel,
            Delivery.state == WAITING,
            or_(Delivery.next_try_at <= now, Delivery.next_try_at > now + longest_wait_seconds),
            ~select(earlier.id)
            .where(
                earlier.alert_id == Delivery.alert_id,
                earlier.channel == Delivery.channel,
                earlier.state == WAITING,
                earlier.id < Delivery.id,
            )
            .exists(),
        )
        .order_by(Delivery.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def mark_delivered(session: Session, delivery_id: int, *, status_code: int, now: float) -> None:
    """Notes that a message arrived."""
    session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id)
        .values(
            state=DELIVERED,
            tries=Delivery.tries + 1,
            delivered_at=now,
            status_code=status_code,
            error=None,
        )
    )


def mark_failed(
    session: Session,
    delivery_id: int,
    *,
    error: str,
    status_code: int | None,
    next_try_at: float | None,
) -> None:
    """Notes a try that failed; without a next one the message is given up and stays in the log.

    What was to follow to the same channel of an alert that it never heard of is given up too. What
    waits no more stays as it is: another thread may have delivered it, or it was given up.
    """
    changed = session.scalars(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.state == WAITING)
        .values(
            state=FAILED if next_try_at is None else WAITING,
            tries=Delivery.tries + 1,
            next_try_at=Delivery.next_try_at if next_try_at is None else next_try_at,
            status_code=status_code,
            error=error,
        )
        .returning(Delivery.id)
    )
    if changed.all() and next_try_at is None:
        _give_up_the_rest(session, session.get_one(Delivery, delivery_id))


def _give_up_the_rest(session: Session, given_up: Delivery) -> None:
    if given_up.channel in told_channels(session, given_up.alert_id):
        return
    session.execute(
        update(Delivery)
        .where(
            Delivery.alert_id == given_up.alert_id,
            Delivery.channel == given_up.channel,
            Delivery.state == WAITING,
        )
        .values(state=FAILED, error="the channel never heard of the alert")
    )


def bring_forward(session: Session, channel: str, *, now: float) -> None:
    """Makes due what waits for a channel that answers again."""
    session.execute(
        update(Delivery)
        .where(Delivery.channel == channel, Delivery.state == WAITING, Delivery.next_try_at > now)
        .values(next_try_at=now)
    )


def give_up_absent(session: Session, channels: Sequence[str]) -> int:
    """Gives up what waits for channels that are no more; returns how many messages."""
    given_up = session.scalars(
        update(Delivery)
        .where(Delivery.state == WAITING, Delivery.channel.not_in(channels))
        .values(state=FAILED, error="the alerts file has no channel of this name any more")
        .returning(Delivery.id)
    )
    return len(given_up.all())


def standing_alerts(session: Session, channel: str, *, limit: int) -> list[StoredAlert]:
    """Unresolved alerts that a channel has been told of, the newest first."""
    told = select(Delivery.alert_id).where(
        Delivery.channel == channel, Delivery.state == DELIVERED, Delivery.reason.in_(OPENING)
    )
    query = (
        select(StoredAlert)
        .where(
            StoredAlert.id.in_(told),
            StoredAlert.state != AlertState.RESOLVED.value,
            StoredAlert.superseded.is_(False),
        )
        .order_by(StoredAlert.id.desc())
        .limit(limit)
    )
    return list(session.scalars(query))


def waiting_counts(session: Session) -> dict[str, int]:
    """How many messages wait, by channel."""
    rows = session.execute(
        select(Delivery.channel, func.count())
        .where(Delivery.state == WAITING)
        .group_by(Delivery.channel)
    )
    return dict(rows.all())


def last_tried(session: Session, channel: str) -> Delivery | None:
    """The newest message to a channel that has been tried, or None."""
    return session.scalar(
        select(Delivery)
        .where(Delivery.channel == channel, Delivery.tries > 0)
        .order_by(Delivery.id.desc())
        .limit(1)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries to list; what is None or empty does not filter."""

    alert_id: int | None = None
    project: str | None = None
    channel: str | None = None
    states: Sequence[str] = ()


def deliveries_of(
    session: Session, wanted: DeliveryFilter, *, after_id: int, limit: int
) -> list[Delivery]:
    """Deliveries in the order they were written, filtered."""
    query = select(Delivery).where(Delivery.id > after_id)
    if wanted.alert_id is not None:
        query = query.where(Delivery.alert_id == wanted.alert_id)
    if wanted.project is not None:
        query = (
            query.join(StoredAlert, Delivery.alert_id == StoredAlert.id)
            .join(Run, StoredAlert.run_id == Run.id)
            .join(Project, Run.project_id == Project.id)
            .where(Project.slug == wanted.project)
        )
    if wanted.channel is not None:
        query = query.where(Delivery.channel == wanted.channel)
    if wanted.states:
        query = query.where(Delivery.state.in_(wanted.states))
    return list(session.scalars(query.order_by(Delivery.id).limit(limit)))
