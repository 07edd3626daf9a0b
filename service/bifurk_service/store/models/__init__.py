"""The tables. Migrations name every column literally; ``alembic check`` compares the two."""

from bifurk_service.store.models.access import AuditEntry, Token
from bifurk_service.store.models.alerts import (
    AlertChange,
    Delivery,
    DetectorState,
    Event,
    StoredAlert,
)
from bifurk_service.store.models.base import NAME, NEVER_AGAIN, SLUG, WHOLE, WORD, Base
from bifurk_service.store.models.processes import AttemptLease, RunningPipeline
from bifurk_service.store.models.runs import (
    Attempt,
    AttemptSums,
    Pin,
    Project,
    Run,
    RunTag,
    Thinning,
)
from bifurk_service.store.models.snapshots import (
    Snapshot,
    StoredDirective,
    StoredMark,
    StoredPart,
    Tensor,
)
from bifurk_service.store.models.statistics import (
    TENSOR_STATS,
    ExtremesRow,
    ImportedStatistic,
    ImportedValue,
    KeptExtremesRow,
    ProfileValue,
    Reasons,
    ReasonsToMove,
    Series,
    SeriesPoint,
    SpectrumProgress,
    SpectrumRow,
)

__all__ = [
    "NAME",
    "NEVER_AGAIN",
    "SLUG",
    "TENSOR_STATS",
    "WHOLE",
    "WORD",
    "AlertChange",
    "Attempt",
    "AttemptLease",
    "AttemptSums",
    "AuditEntry",
    "Base",
    "Delivery",
    "DetectorState",
    "Event",
    "ExtremesRow",
    "ImportedStatistic",
    "ImportedValue",
    "KeptExtremesRow",
    "Pin",
    "ProfileValue",
    "Project",
    "Reasons",
    "ReasonsToMove",
    "Run",
    "RunTag",
    "RunningPipeline",
    "Series",
    "SeriesPoint",
    "Snapshot",
    "SpectrumProgress",
    "SpectrumRow",
    "StoredAlert",
    "StoredDirective",
    "StoredMark",
    "StoredPart",
    "Tensor",
    "Thinning",
    "Token",
]
