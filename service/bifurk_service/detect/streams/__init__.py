"""Labelled synthetic series, healthy and not: what detectors are tuned, tested and shown on.

Every generator takes a random generator and the shape, and gives ``length`` snapshots of at least
``series`` series. Nulls have no event; events name the snapshot at which they begin. Scalar series
are ``Stream``; whole runs, with every statistic of every tensor, are ``RunStream``.
"""

from bifurk_service.detect.streams.events import EVENTS, Event, jump, tripled
from bifurk_service.detect.streams.explained import is_explained
from bifurk_service.detect.streams.fold import fold
from bifurk_service.detect.streams.measured import MEASURED_NULLS
from bifurk_service.detect.streams.nulls import NULLS, UNDECLARED
from bifurk_service.detect.streams.populations import POPULATION_NULLS
from bifurk_service.detect.streams.run import RunGenerator, RunStream
from bifurk_service.detect.streams.run_events import RUN_EVENTS
from bifurk_service.detect.streams.run_nulls import RUN_NULLS
from bifurk_service.detect.streams.stream import (
    LENGTH,
    ONSET,
    Generator,
    Noise,
    Stream,
    autoregressive,
    clocks,
)

__all__ = [
    "EVENTS",
    "LENGTH",
    "MEASURED_NULLS",
    "NULLS",
    "ONSET",
    "POPULATION_NULLS",
    "RUN_EVENTS",
    "RUN_NULLS",
    "UNDECLARED",
    "Event",
    "Generator",
    "Noise",
    "RunGenerator",
    "RunStream",
    "Stream",
    "autoregressive",
    "clocks",
    "fold",
    "is_explained",
    "jump",
    "tripled",
]
