"""Runs, their attempts, and what is kept of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bifurk_service.store.models.base import NAME, NEVER_AGAIN, SLUG, WORD, Base


class Project(Base):
    """A name that runs share."""

    __tablename__ = "projects"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(SLUG, unique=True)
    created_at: Mapped[float]


class Run(Base):
    """One training, over all its attempts.

    A slug that begins with a dot, which no client can send, is that of a run being brought in or
    removed; ``keep_bytes`` what it may take on the disk.
    """

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("project_id", "slug"), NEVER_AGAIN)
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    slug: Mapped[str] = mapped_column(SLUG)
    display_name: Mapped[str | None] = mapped_column(NAME)
    created_at: Mapped[float]
    updated_at: Mapped[float] = mapped_column(index=True)
    retention_days: Mapped[float | None]
    keep_bytes: Mapped[int | None]


class RunTag(Base):
    """A word by which people find a run again."""

    __tablename__ = "run_tags"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(WORD, primary_key=True, index=True)


class Attempt(Base):
    """One process lifetime of a run, from start or resume to its end.

    ``cursor`` is the last sequence judging has passed, -1 before the first; ``first_sequence`` the
    snapshot that motion since the first is measured against; ``source`` what its snapshots came
    from: client or import; ``condensed`` the first sequence that no row of ``extremes`` tells of;
    ``tagged`` whether its client's tags were taken over; ``writer`` the job it belongs to, None
    where that does not say.
    """

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("run_id", "slug"), NEVER_AGAIN)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    slug: Mapped[str] = mapped_column(SLUG)
    state: Mapped[str] = mapped_column(WORD)
    created_at: Mapped[float]
    seen_at: Mapped[float]
    ended_at: Mapped[float | None]
    interval_seconds: Mapped[float | None]
    last_sequence: Mapped[int | None]
    last_step: Mapped[int | None]
    cursor: Mapped[int]
    first_sequence: Mapped[int | None]
    dropped: Mapped[dict[str, Any]]
    lost_sequences: Mapped[list[Any]]
    overhead_ratio: Mapped[float | None]
    optimizer: Mapped[str] = mapped_column(NAME)
    optimizer_settings: Mapped[dict[str, Any]]
    client: Mapped[dict[str, Any]]
    source: Mapped[str] = mapped_column(WORD, server_default="client", default="client")
    condensed: Mapped[int] = mapped_column(server_default="0", default=0)
    tagged: Mapped[bool] = mapped_column(Boolean, server_default="0", default=False)
    writer: Mapped[str | None] = mapped_column(WORD)


class AttemptSums(Base):
    """What an attempt has stored, added up; written by triggers of the database and nobody else.

    ``snapshots`` counts all, ``received`` to ``failed`` those in that state, ``judged_on_grid``
    the judged without those between the grid, ``with_values`` the measured, ``whole`` those of
    them that are not thinned. ``blob_bytes`` are of all its parts, full values that wait to go
    among them; ``spectra`` a number, ``spectrum_bytes`` their singular values; ``extremes_bytes``
    of what is condensed and of what is kept of thinned stretches.
    """

    __tablename__ = "attempt_sums"
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    snapshots: Mapped[int] = mapped_column(server_default="0")
    received: Mapped[int] = mapped_column(server_default="0")
    measured: Mapped[int] = mapped_column(server_default="0")
    judged: Mapped[int] = mapped_column(server_default="0")
    late: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    judged_on_grid: Mapped[int] = mapped_column(server_default="0")
    with_values: Mapped[int] = mapped_column(server_default="0")
    whole: Mapped[int] = mapped_column(server_default="0")
    blob_bytes: Mapped[int] = mapped_column(server_default="0")
    spectra: Mapped[int] = mapped_column(server_default="0")
    spectrum_bytes: Mapped[int] = mapped_column(server_default="0")
    extremes_bytes: Mapped[int] = mapped_column(server_default="0")


class Thinning(Base):
    """How far an attempt is thinned.

    ``reached`` is the first sequence, by stage, that the stage has not dealt with; ``stage`` and
    ``block`` what is under way; ``definition``, ``sequence``, ``state`` and ``pieces`` the memory
    of detectors behind which every snapshot is whole: replays begin with it.
    """

    __tablename__ = "thinnings"
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    reached: Mapped[list[Any]]
    stage: Mapped[int | None]
    block: Mapped[int | None]
    definition: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int]
    state: Mapped[bytes] = mapped_column(LargeBinary)
    pieces: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))


class Pin(Base):
    """Steps of a run that a person keeps whole, both included."""

    __tablename__ = "pins"
    __table_args__ = (NEVER_AGAIN,)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    first_step: Mapped[int]
    last_step: Mapped[int]
    created_at: Mapped[float]
