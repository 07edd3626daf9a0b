"""Alerts, their history and whom they are told to; detectors' memory; events."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from bifurk_service.store.models.base import NAME, NEVER_AGAIN, WORD, Base


class StoredAlert(Base):
    """An alert and where it is in its life.

    ``parent`` is the fingerprint of the alert it is a part of, within its attempt; ``silenced_by``
    the rule that keeps it from people; ``superseded`` says that a later attempt went over the
    stretch again.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("attempt_id", "fingerprint"),
        Index("ix_alerts_news", "attempt_id", "parent", "superseded", "silenced_by", "updated_at"),
        NEVER_AGAIN,
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"))
    fingerprint: Mapped[str] = mapped_column(NAME)
    kind: Mapped[str] = mapped_column(WORD)
    severity: Mapped[str] = mapped_column(WORD)
    state: Mapped[str] = mapped_column(WORD)
    statistic: Mapped[str] = mapped_column(WORD)
    detected_step: Mapped[int]
    detected_sequence: Mapped[int]
    onset_first_step: Mapped[int]
    onset_last_step: Mapped[int]
    before: Mapped[float | None]
    after: Mapped[float | None]
    score: Mapped[float | None]
    sentence: Mapped[str] = mapped_column(Text)
    tensors: Mapped[list[Any]]
    explained_by: Mapped[list[Any]]
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    evidence: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    updated_at: Mapped[float]
    resolved_at: Mapped[float | None]
    parent: Mapped[str] = mapped_column(NAME, server_default="", default="")
    silenced_by: Mapped[str | None] = mapped_column(NAME)
    superseded: Mapped[bool] = mapped_column(Boolean, server_default="0", default=False)
    false_alarms_per_10000: Mapped[float | None]


class AlertChange(Base):
    """Something that happened to an alert, by whom: its history."""

    __tablename__ = "alert_changes"
    id: Mapped[int] = mapped_column(primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), index=True)
    at: Mapped[float]
    change: Mapped[str] = mapped_column(WORD)
    state: Mapped[str] = mapped_column(WORD)
    severity: Mapped[str] = mapped_column(WORD)
    who: Mapped[str] = mapped_column(NAME)
    note: Mapped[str | None] = mapped_column(Text)


class Delivery(Base):
    """One message about an alert through one channel: the outbox, and the log of it.

    ``state`` is waiting, delivered or failed; it is written with the change that it tells of, so
    that no change goes untold.
    """

    __tablename__ = "deliveries"
    __table_args__ = (Index("ix_deliveries_state_next_try_at", "state", "next_try_at"), NEVER_AGAIN)
    id: Mapped[int] = mapped_column(primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), index=True)
    channel: Mapped[str] = mapped_column(NAME)
    reason: Mapped[str] = mapped_column(WORD)
    state: Mapped[str] = mapped_column(WORD)
    tries: Mapped[int]
    next_try_at: Mapped[float]
    created_at: Mapped[float]
    delivered_at: Mapped[float | None]
    status_code: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)


class DetectorState(Base):
    """The detectors' memory of an attempt as it was after ``sequence``.

    ``pieces`` tells where it lies, by sequence and number of ``DetectorPiece``, in order; ``state``
    holds the whole of one that an earlier version wrote, and is empty otherwise.
    """

    __tablename__ = "detector_states"
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    definition: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int]
    state: Mapped[bytes] = mapped_column(LargeBinary)
    pieces: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))


class DetectorPiece(Base):
    """A piece of the detectors' memory of an attempt, which never changes.

    ``sequence`` is that of the memory it was first part of; later ones name it again. ``digest`` is
    the SHA-256 of ``data``.
    """

    __tablename__ = "detector_pieces"
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Event(Base):
    """What happened, for the stream; its id is the stream's event id."""

    __tablename__ = "events"
    __table_args__ = (NEVER_AGAIN,)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(WORD)
    data: Mapped[dict[str, Any]]
    created_at: Mapped[float] = mapped_column(index=True)
