"""Numbers over steps: measured, logged, imported, condensed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from bifurk_service.stats.registry import STATISTICS
from bifurk_service.store.models.base import NAME, NEVER_AGAIN, WHOLE, WORD, Base

TENSOR_STATS = Table(
    "tensor_stats",
    Base.metadata,
    Column("tensor_id", WHOLE, ForeignKey("tensors.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt_id", WHOLE, ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True),
    Column("step", WHOLE, primary_key=True),
    *(Column(statistic.name, Double) for statistic in STATISTICS),
    Column("no_value", JSON(none_as_null=True)),
    Column("reasons_id", WHOLE),
    Index("ix_tensor_stats_attempt_id_step", "attempt_id", "step"),
    sqlite_with_rowid=False,
)
"""One wide row a tensor a snapshot; ``reasons_id`` is that of the ``Reasons`` for which statistics
are null.

It is no foreign key: checking one would cost each row an index entry, and reasons go only with
their run. ``no_value`` is how earlier versions wrote the same, as text in every row.
"""


class Reasons(Base):
    """Why some statistics of a tensor have no value, by statistic; once for all rows of a run.

    ``digest`` is the SHA-256 of the document as JSON text.
    """

    __tablename__ = "reasons"
    __table_args__ = (UniqueConstraint("run_id", "digest"), NEVER_AGAIN)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(64))
    document: Mapped[dict[str, Any]]


class ReasonsToMove(Base):
    """A tensor whose rows may still hold reasons as an earlier version wrote them.

    Those up to ``step`` of ``attempt_id``, in the order of their key, are done.
    """

    __tablename__ = "reasons_to_move"
    tensor_id: Mapped[int] = mapped_column(
        ForeignKey("tensors.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    attempt_id: Mapped[int] = mapped_column(server_default="0")
    step: Mapped[int] = mapped_column(server_default="-1")


class Series(Base):
    """A scalar the user logs."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("run_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(NAME)


class SeriesPoint(Base):
    """One interval of a logged scalar, up to a snapshot; a value that is not finite is null."""

    __tablename__ = "series_points"
    series_id: Mapped[int] = mapped_column(
        ForeignKey("series.id", ondelete="CASCADE"), primary_key=True
    )
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    step: Mapped[int] = mapped_column(primary_key=True)
    last: Mapped[float | None]
    mean: Mapped[float | None]
    min: Mapped[float | None]
    max: Mapped[float | None]
    count: Mapped[int]


class ImportedStatistic(Base):
    """A statistic computed elsewhere that is not in the table of statistics."""

    __tablename__ = "imported_statistics"
    __table_args__ = (UniqueConstraint("run_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(NAME)
    nature: Mapped[str] = mapped_column(WORD)
    log_scale: Mapped[bool] = mapped_column(Boolean)


class ImportedValue(Base):
    """An imported statistic of one tensor at one step."""

    __tablename__ = "imported_values"
    __table_args__ = (Index("ix_imported_values_attempt_id_step", "attempt_id", "step"),)
    statistic_id: Mapped[int] = mapped_column(
        ForeignKey("imported_statistics.id", ondelete="CASCADE"), primary_key=True
    )
    tensor_id: Mapped[int] = mapped_column(
        ForeignKey("tensors.id", ondelete="CASCADE"), primary_key=True
    )
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]


class SpectrumRow(Base):
    """The singular spectrum of one matrix at one step.

    ``singular_values`` are little-endian float64, descending; ``document`` is what
    ``MatrixSpectrum.document`` says of the fits.
    """

    __tablename__ = "spectra"
    __table_args__ = (Index("ix_spectra_attempt_id", "attempt_id"),)
    tensor_id: Mapped[int] = mapped_column(
        ForeignKey("tensors.id", ondelete="CASCADE"), primary_key=True
    )
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    step: Mapped[int] = mapped_column(primary_key=True)
    rows: Mapped[int]
    columns: Mapped[int]
    singular_values: Mapped[bytes] = mapped_column(LargeBinary)
    document: Mapped[dict[str, Any]]


class SpectrumProgress(Base):
    """What the next spectrum of a matrix needs to know of those before, within one attempt.

    ``first_vectors`` are float32 [p, r], row-major, of the first spectrum that had vectors, at
    ``first_sequence``.
    """

    __tablename__ = "spectrum_progress"
    __table_args__ = (Index("ix_spectrum_progress_attempt_id", "attempt_id"),)
    tensor_id: Mapped[int] = mapped_column(
        ForeignKey("tensors.id", ondelete="CASCADE"), primary_key=True
    )
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    last_sequence: Mapped[int]
    first_sequence: Mapped[int | None]
    first_rank: Mapped[int | None]
    first_vectors: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class ProfileValue(Base):
    """One statistic across layers at one step; ``role`` is empty where it is of the whole model."""

    __tablename__ = "profiles"
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(WORD, primary_key=True)
    role: Mapped[str] = mapped_column(WORD, primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    no_value: Mapped[str | None] = mapped_column(Text)


class ExtremesRow(Base):
    """The least and greatest values of one statistic in consecutive snapshots of an attempt.

    ``data`` are little-endian float64 [bins, 2, T] of the run's first T tensors by id, NaN without
    a value; how many snapshots a bin spans is its ``level``'s matter. ``places`` are uint16 of the
    same shape: how many sequences behind the row's begin each stands; rows of earlier versions do
    not say, and are made anew.
    """

    __tablename__ = "extremes"
    __table_args__ = (
        Index(
            "ix_extremes_unplaced",
            "attempt_id",
            sqlite_where=text("places IS NULL"),
            postgresql_where=text("places IS NULL"),
        ),
    )
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    level: Mapped[int] = mapped_column(primary_key=True)
    statistic: Mapped[str] = mapped_column(WORD, primary_key=True)
    block: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    places: Mapped[bytes | None] = mapped_column(LargeBinary)


class KeptExtremesRow(Base):
    """The least and greatest values of one statistic in stretches that are thinned, and where.

    ``data`` are ``kept_extremes.CELL`` [bins, 2, T] of the run's first T tensors by id; how many
    snapshots a bin spans is its ``stage``'s matter.
    """

    __tablename__ = "kept_extremes"
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    statistic: Mapped[str] = mapped_column(WORD, primary_key=True)
    stage: Mapped[int] = mapped_column(primary_key=True)
    block: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
