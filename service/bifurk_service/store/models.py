"""The tables. Migrations name every column literally; ``alembic check`` compares the two."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bifurk_service.stats.registry import STATISTICS

NAME = String(512)
SLUG = String(128)
WORD = String(64)
WHOLE = BigInteger().with_variant(Integer, "sqlite")
"""Steps go beyond 2^31; SQLite's INTEGER is 64 bits wide and alone can be a row's own id."""


NEVER_AGAIN = {"sqlite_autoincrement": True}
"""Ids are not given a second time after a deletion: paths, caches and readers hold on to them."""


class Base(DeclarativeBase):
    """All tables; times are seconds since 1970 UTC as float."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {int: WHOLE, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 - SQLAlchemy's form


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


class DetectorState(Base):
    """The detectors' memory of an attempt as it was after ``sequence``."""

    __tablename__ = "detector_states"
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    definition: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int]
    state: Mapped[bytes] = mapped_column(LargeBinary)


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
    a value; how many snapshots a bin spans is its ``level``'s matter.
    """

    __tablename__ = "extremes"
    attempt_id: Mapped[int] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    level: Mapped[int] = mapped_column(primary_key=True)
    statistic: Mapped[str] = mapped_column(WORD, primary_key=True)
    block: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


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


class Thinning(Base):
    """How far an attempt is thinned.

    ``reached`` is the first sequence, by stage, that the stage has not dealt with; ``stage`` and
    ``block`` what is under way; ``definition``, ``sequence`` and ``state`` the detectors' memory
    behind which every snapshot is whole: replays begin with it.
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


class Pin(Base):
    """Steps of a run that a person keeps whole, both included."""

    __tablename__ = "pins"
    __table_args__ = (NEVER_AGAIN,)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    first_step: Mapped[int]
    last_step: Mapped[int]
    created_at: Mapped[float]


class Event(Base):
    """What happened, for the stream; its id is the stream's event id."""

    __tablename__ = "events"
    __table_args__ = (NEVER_AGAIN,)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(WORD)
    data: Mapped[dict[str, Any]]
    created_at: Mapped[float] = mapped_column(index=True)


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


TENSOR_STATS = Table(
    "tensor_stats",
    Base.metadata,
    Column("tensor_id", WHOLE, ForeignKey("tensors.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt_id", WHOLE, ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True),
    Column("step", WHOLE, primary_key=True),
    *(Column(statistic.name, Double) for statistic in STATISTICS),
    Column("no_value", JSON),
    Index("ix_tensor_stats_attempt_id_step", "attempt_id", "step"),
    sqlite_with_rowid=False,
)
"""One wide row a tensor a snapshot; ``no_value`` says why a statistic is null."""
