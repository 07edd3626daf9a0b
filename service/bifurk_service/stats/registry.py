"""The one table of statistics. Columns, REST, metrics, detectors and docs are derived from it."""

from __future__ import annotations

from typing import Final

from bifurk_service.stats.rows.elements import ELEMENT_ROWS
from bifurk_service.stats.rows.motion import MOTION_ROWS
from bifurk_service.stats.rows.spectrum import SPECTRUM_ROWS
from bifurk_service.stats.statistic import Family, Nature, Statistic

__all__ = ["BY_NAME", "STATISTICS", "Family", "Nature", "Statistic", "names_of"]

STATISTICS: Final[tuple[Statistic, ...]] = (*ELEMENT_ROWS, *MOTION_ROWS, *SPECTRUM_ROWS)

BY_NAME: Final[dict[str, Statistic]] = {statistic.name: statistic for statistic in STATISTICS}


def names_of(family: Family) -> tuple[str, ...]:
    """The names of a family's statistics, in the table's order."""
    return tuple(statistic.name for statistic in STATISTICS if statistic.family is family)
