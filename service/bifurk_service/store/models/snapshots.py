"""Snapshots, their parts and marks, and what a client is asked for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from bifurk_service.store.models.base import NAME, NEVER_AGAIN, WORD, Base


class Tensor(Base):
    """A parameter of a run; its id is what paths name.

    ``piece_of`` is the fused tensor that this one is a piece of (the queries of a fused QKV): a
    piece has statistics and spectra where full values came, and is not sent by itself.
    """

    __tablename__ = "tensors"
    __table_args__ = (UniqueConstraint("run_id", "name"), NEVER_AGAIN)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(NAME)
    layer: Mapped[int | None]
    role: Mapped[str] = mapped_column(WORD)
    shape: Mapped[list[Any]]
    dtype: Mapped[str] = mapped_column(WORD)
    piece_of: Mapped[int | None]


class Snapshot(Base):
    """The weights at one step; the durable queue entry of the pipeline.

    ``state`` is received, measured, judged, late or failed; ``coverage`` the share of its parts
    that came; ``tries`` how often measuring it has lost its worker; ``spectra_skipped`` how many
    matrices the time for spectra did not reach; ``thinned`` 0 where it is whole, 1 where its
    statistics and blobs are to go, 2 where they are gone.
    """

    __tablename__ = "snapshots"
    __table_args__ = (
        UniqueConstraint("attempt_id", "sequence"),
        UniqueConstraint("attempt_id", "step"),
        Index("ix_snapshots_state_attempt_id_sequence", "state", "attempt_id", "sequence"),
        Index("ix_snapshots_attempt_id_id", "attempt_id", "id"),
        Index(
            "ix_snapshots_thinned",
            "attempt_id",
            "step",
            sqlite_where=text("thinned <> 0"),
            postgresql_where=text("thinned <> 0"),
        ),
        NEVER_AGAIN,
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"))
    sequence: Mapped[int]
    step: Mapped[int]
    previous_step: Mapped[int | None]
    off_grid: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(WORD)
    tries: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)
    expected_parts: Mapped[int]
    received_parts: Mapped[int]
    coverage: Mapped[float]
    wall_clock: Mapped[float]
    received_at: Mapped[float]
    measured_at: Mapped[float | None]
    judged_at: Mapped[float | None]
    learning_rates: Mapped[list[Any]]
    spectra_skipped: Mapped[int] = mapped_column(server_default="0", default=0)
    thinned: Mapped[int] = mapped_column(server_default="0", default=0)


class StoredPart(Base):
    """The receipt of one part.

    ``stale_key`` is the blob with its full values, packed as ``stale_encoding`` says: the next
    snapshot's motion is measured against it, then it is deleted.
    """

    __tablename__ = "parts"
    __table_args__ = (
        UniqueConstraint("snapshot_id", "rank"),
        Index(
            "ix_parts_stale",
            "snapshot_id",
            sqlite_where=text("stale_key IS NOT NULL"),
            postgresql_where=text("stale_key IS NOT NULL"),
        ),
        Index("ix_parts_blob_key", "blob_key"),
        Index(
            "ix_parts_stale_key",
            "stale_key",
            sqlite_where=text("stale_key IS NOT NULL"),
            postgresql_where=text("stale_key IS NOT NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshots.id", ondelete="CASCADE"))
    rank: Mapped[int]
    digest: Mapped[str] = mapped_column(WORD)
    encoding: Mapped[str] = mapped_column(WORD)
    blob_key: Mapped[str] = mapped_column(Text)
    blob_bytes: Mapped[int]
    stale_key: Mapped[str | None] = mapped_column(Text)
    stale_encoding: Mapped[str | None] = mapped_column(WORD)
    stale_bytes: Mapped[int | None]


class StoredMark(Base):
    """Something the run did at a step."""

    __tablename__ = "marks"
    id: Mapped[int] = mapped_column(primary_key=True)
    snapshot_id: Mapped[int] = mapped_column(
        ForeignKey("snapshots.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[str] = mapped_column(WORD)
    step: Mapped[int]
    details: Mapped[dict[str, Any]]


class StoredDirective(Base):
    """What an alert asks the client for: full values of its tensors, more often, for a while.

    ``every`` is the interval in steps, half-open from ``first_step`` to ``last_step``.
    """

    __tablename__ = "directives"
    __table_args__ = (UniqueConstraint("alert_id"), NEVER_AGAIN)
    id: Mapped[int] = mapped_column(primary_key=True)
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), index=True
    )
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"))
    tensors: Mapped[list[Any]]
    every: Mapped[int]
    first_step: Mapped[int]
    last_step: Mapped[int]
    created_at: Mapped[float]
