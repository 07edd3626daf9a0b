"""Processes that run the pipeline, and what each of them holds."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from bifurk_service.store.models.base import NAME, NEVER_AGAIN, Base


class RunningPipeline(Base):
    """A process that measures and judges: it counts as running until ``until``.

    ``capacity`` is how many snapshots it measures at once.
    """

    __tablename__ = "pipelines"
    __table_args__ = (NEVER_AGAIN,)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(NAME)
    capacity: Mapped[int]
    until: Mapped[float]


class AttemptLease(Base):
    """Which running pipeline moves an attempt on: the only one that may.

    ``fence`` grows with every taking; a ``holder`` that is not registered any more holds nothing.
    """

    __tablename__ = "leases"
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    holder: Mapped[int | None]
    fence: Mapped[int]
