"""What a row of the table of statistics says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Nature(StrEnum):
    """How a statistic moves when nothing happens; detectors choose their null by it."""

    INTEGRATED = "integrated"
    """Sums up updates, as weights do: a random walk is its healthy course."""
    STATIONARY = "stationary"
    """Returns to a level; neighbouring values are related."""
    BOUNDED = "bounded"
    """Lives in a fixed interval, or is a share."""
    CLASS = "class"
    """Names one of ``labels``; the numbers have no order."""


class Family(StrEnum):
    """What a statistic is computed from."""

    ELEMENTS = "elements"
    MOTION = "motion"
    SPECTRUM = "spectrum"
    IMPORTED = "imported"
    """Computed elsewhere; no row of the table is of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """One row of the table.

    Attributes:
        name: column, REST and metric name; never reused for another meaning.
        formula: in plain text, w the values, n their number, p x q a matrix with p <= q.
        unit: ``weight`` (the weights' own), ``1`` (a ratio), ``count``, ``nats``.
        source: paper or "definition ours".
        definition_version: raised when numbers change; detectors then restart.
        log_scale: positive and multiplicative, so detectors work on its logarithm.
        metric: exported to Prometheus under ``bifurk_`` + this name, or not at all.
        labels: of a class, the words that its numbers 0, 1, 2... stand for.
        poolable: whether it may be taken of several tensors' values together; shapes may not,
            because pooling different scales makes a shape that no tensor has.
    """

    name: str
    family: Family
    nature: Nature
    unit: str
    formula: str
    meaning: str
    source: str = "standard"
    definition_version: int = 1
    log_scale: bool = False
    metric: str | None = None
    labels: tuple[str, ...] = ()
    poolable: bool = False
