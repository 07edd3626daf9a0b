"""The shapes of REST answers; every field is documented in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bifurk_service.api.parameters import Text, storable
from bifurk_service.domain import LARGEST

Item = TypeVar("Item")
THINNED: Final = (
    "Where the past is thinned, first and last steps: of every stretch the least and the greatest "
    "value are there, and some snapshots whole."
)
REDUCED: Final = (
    "Whether there are more than `points`, and these are the extremes of stretches and the ends."
)


class Shape(BaseModel):
    """The base of all answers."""

    model_config = ConfigDict(from_attributes=True)


class Page(Shape, Generic[Item]):
    """A page of a list; ``next_cursor`` goes into ``cursor`` for the next one, null at the end."""

    items: list[Item]
    next_cursor: str | None = None


class ProjectAnswer(Shape):
    """A project."""

    id: int
    project: str
    runs: int


class RunAnswer(Shape):
    """A run in a list."""

    id: int
    project: str
    run: str
    display_name: str | None
    state: str = Field(description="Of the newest attempt: running, finished, failed or lost.")
    created_at: float = Field(description="Seconds since 1970 UTC.")
    updated_at: float = Field(description="When the server last heard of it.")
    last_step: int | None
    overhead_ratio: float | None = Field(description="Share of the training time the hook took.")
    alerts: dict[str, int] = Field(description="Alerts neither resolved nor silenced, by severity.")
    tags: list[str] = Field(description="Words to find it by, in order.")


class AttemptAnswer(Shape):
    """One process lifetime of a run."""

    id: int
    attempt: str = Field(validation_alias="slug")
    state: str
    created_at: float
    seen_at: float
    ended_at: float | None
    last_sequence: int | None
    first_step: int | None = Field(description="Of its first snapshot; null before that came.")
    last_step: int | None
    on_course: bool = Field(description="Whether any of its steps are on the run's course.")
    course_end: int | None = Field(
        description="Where a later attempt took over: from this step on it is a branch; null where "
        "none did."
    )
    dropped: dict[str, int] = Field(description="Snapshots that never came, by reason.")
    lost_sequences: list[list[int]] = Field(description="Which: closed ranges of sequences.")
    overhead_ratio: float | None
    optimizer: str
    optimizer_settings: dict[str, Any]
    client: dict[str, Any]


class ReadinessAnswer(Shape):
    """How far the detectors of the newest attempt are."""

    judged: int = Field(description="Snapshots judged so far.")
    needed: int = Field(description="Snapshots that the full calibration takes.")
    first_verdict_step: int | None = Field(description="Where the first verdict is to be expected.")
    has_verdict: bool = Field(description="Whether shifts are judged already.")
    ready: bool = Field(description="Whether the stated false-alarm rates hold.")
    text: str


class RunDetailAnswer(RunAnswer):
    """A run in full."""

    attempts: list[AttemptAnswer] = Field(description="In the order they were heard of.")
    live_together: list[str] = Field(
        description="Attempts that train at the same time, which one run is not made for; else "
        "none."
    )
    snapshots: dict[str, int] = Field(
        description="Snapshots by where they are: received, measured, judged, late, failed; "
        "`total` counts all."
    )
    readiness: ReadinessAnswer
    scalars: list[str] = Field(description="Names of the scalars the run logs.")
    retention_days: float | None
    keep_bytes: int | None = Field(
        description="Bytes from which on its past is thinned; null: as the server's setting says."
    )
    stored_bytes: int = Field(description="What it takes, about: blobs and rows.")
    thinned: list[list[int]] = Field(description=THINNED)


class RunChange(BaseModel):
    """What may be changed of a run."""

    model_config = ConfigDict(extra="forbid")
    display_name: Text | None = Field(None, max_length=512)
    retention_days: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Null: as the server's setting says."
    )
    keep_bytes: int | None = Field(
        None, ge=1, le=LARGEST, description="Null: as the server's setting says."
    )


class TensorAnswer(Shape):
    """A tensor of a run."""

    id: int
    name: str
    layer: int | None
    role: str
    shape: list[int]
    dtype: str
    piece_of: int | None = Field(
        description="The fused tensor that it is a piece of; its values are stored there."
    )


class TensorReference(Shape):
    """Which tensor a series is of."""

    id: int
    name: str
    layer: int | None
    role: str


class SeriesAnswer(Shape):
    """One statistic of one tensor over steps; null where it has no value."""

    tensor: TensorReference
    stat: str
    steps: list[int]
    values: list[float | None]
    thinned: list[list[int]] = Field(description=THINNED)
    reduced: bool = Field(description=REDUCED)


class ScalarAnswer(Shape):
    """A logged scalar: one entry a snapshot, over the steps since the one before."""

    name: str
    steps: list[int]
    last: list[float | None]
    mean: list[float | None]
    min: list[float | None]
    max: list[float | None]
    reduced: bool = Field(description=REDUCED)


class MarkAnswer(Shape):
    """Something the run did at a step."""

    kind: str
    step: int
    details: dict[str, Any]


class SnapshotAnswer(Shape):
    """A snapshot and where it is on its way."""

    id: int
    attempt: str
    sequence: int
    step: int
    state: str
    off_grid: bool
    tries: int
    error: str | None
    expected_parts: int
    received_parts: int
    coverage: float
    received_at: float
    measured_at: float | None
    judged_at: float | None
    learning_rates: list[float | None]
    spectra_skipped: int = Field(
        description="Matrices that the time for spectra did not reach; they come first next time."
    )
    pinned: bool = Field(description="Whether an alert keeps its full values.")


class StatisticsAnswer(Shape):
    """All statistics of one tensor at one step, and why some have no value."""

    tensor: TensorReference
    step: int
    attempt: str = Field(description="Whose snapshot it is.")
    values: dict[str, float | None]
    no_value: dict[str, str]
    words: dict[str, str] = Field(description="What the numbers of classes stand for.")


class AffectedAnswer(Shape):
    """A tensor of an alert."""

    id: int
    name: str
    layer: int | None
    role: str
    statistics: list[str]
    first_statistic: str = Field("", description="Of them, what began first; empty: not resolved.")
    branch: int | None = Field(
        None, description="Of kinds that part tensors into groups: which of them."
    )
    onset_first_step: int
    onset_last_step: int
    before: float | None
    after: float | None
    score: float | None


class AlertAnswer(Shape):
    """An alert."""

    id: int
    project: str
    run_id: int
    run: str
    attempt: str
    fingerprint: str
    kind: str
    severity: str
    state: str
    statistic: str
    detected_step: int
    detected_sequence: int
    onset_first_step: int
    onset_last_step: int
    before: float | None
    after: float | None
    score: float | None
    false_alarms_per_10000: float | None = Field(
        description="Measured where nothing happens: detections of this kind with this score or "
        "more, in 10,000 snapshots of one series. Null: not measured."
    )
    sentence: str
    tensors: list[AffectedAnswer]
    explained_by: list[MarkAnswer]
    checkpoint: MarkAnswer | None
    evidence: dict[str, Any]
    parent: int | None = Field(description="The alert that this one is a part of.")
    silenced_by: str | None = Field(description="The rule that keeps it from people.")
    superseded: bool = Field(description="Whether a later attempt went over its stretch again.")
    created_at: float
    updated_at: float
    resolved_at: float | None


class AlertDetailAnswer(AlertAnswer):
    """One alert, and what is a part of it."""

    children: list[int] = Field(description="The alerts that are parts of this one.")


class AlertChangeAnswer(Shape):
    """Something that happened to an alert."""

    at: float = Field(description="Seconds since 1970 UTC.")
    change: str = Field(
        description="raised, grew, graver, silenced, joined (became a part of another), "
        "acknowledged, resolved, reopened or superseded."
    )
    state: str = Field(description="After the change.")
    severity: str = Field(description="After the change.")
    who: str = Field(
        description="The name of a token, `anonymous` on an open server, or `bifurk` itself."
    )
    note: str | None


class AlertNote(BaseModel):
    """Why a person acknowledges or resolves an alert."""

    model_config = ConfigDict(extra="forbid")
    note: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(storable)] | None = (
        None
    )


class StatisticAnswer(Shape):
    """A row of the table of statistics."""

    name: str
    family: str
    nature: str
    unit: str
    formula: str
    meaning: str
    source: str
    definition_version: int
    metric: str | None
    labels: list[str] = Field(description="Of a class: the words its numbers 0, 1, 2... stand for.")
    poolable: bool = Field(description="Whether it may be taken of several tensors together.")


class ProfileStatisticAnswer(Shape):
    """A row of the table of statistics across layers."""

    name: str
    nature: str
    unit: str
    formula: str
    meaning: str
    source: str
    definition_version: int
    per_role: bool = Field(description="One value a role; else one for the whole model.")


class DetectorAnswer(Shape):
    """A row of the table of detectors."""

    kind: str
    statistics: list[str]
    meaning: str
    optional: bool = Field(description="Whether it is off unless a replay asks for it.")


class StateAnswer(Shape):
    """The server is well.

    ``trouble`` says why what is taken in has to wait to be measured; none where it does not.
    """

    status: str
    version: str
    trouble: str | None = None
