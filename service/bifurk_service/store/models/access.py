"""Tokens, and the log of who did what."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from bifurk_service.store.models.base import NAME, NEVER_AGAIN, WORD, Base


class Token(Base):
    """A credential; only the SHA-256 of its secret is kept.

    After a rotation the secret before it is good until ``previous_until``; ``used_at`` is within an
    hour of its last use.
    """

    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(NAME)
    digest: Mapped[str] = mapped_column(WORD)
    scope: Mapped[str] = mapped_column(WORD)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    previous_digest: Mapped[str | None] = mapped_column(WORD)
    previous_until: Mapped[float | None]
    used_at: Mapped[float | None]


class AuditEntry(Base):
    """Something that somebody did; it outlives the token that did it and what it was done to."""

    __tablename__ = "audit"
    __table_args__ = (NEVER_AGAIN,)
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float] = mapped_column(index=True)
    action: Mapped[str] = mapped_column(WORD)
    who: Mapped[str] = mapped_column(Text)
    token_id: Mapped[int | None]
    address: Mapped[str | None] = mapped_column(WORD)
    target: Mapped[str] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)
