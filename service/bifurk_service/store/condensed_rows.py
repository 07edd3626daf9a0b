"""Rows of what is condensed: eight bins of one statistic of all tensors, at one of three levels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bifurk_service.stats.extreme_places import joined_extremes
from bifurk_service.store.models import ExtremesRow

BINS: Final = 8
"""Bins of one row; as many bins of a level are one of the next."""
LEVELS: Final = (1, 2, 3)
ENCODING: Final = "<f8"
PLACE: Final = "<u2"

Extremes: TypeAlias = tuple[NDArray[np.float64], NDArray[np.integer[Any]]]
"""A row: the least and the greatest in each bin, [BINS, 2, T], and their places, of that shape."""


def span(level: int) -> int:
    """Snapshots that one bin spans."""
    return int(BINS**level)


def decoded(data: bytes) -> NDArray[np.float64]:
    """A row's extremes, float64 [BINS, 2, T]."""
    return np.frombuffer(data, dtype=ENCODING).reshape(BINS, 2, -1)


def decoded_places(places: bytes) -> NDArray[np.int64]:
    """Where they stand, in sequences behind the row's begin, int64 [BINS, 2, T]."""
    return np.frombuffer(places, dtype=PLACE).reshape(BINS, 2, -1).astype(np.int64)


def keep_rows(
    session: Session, attempt_id: int, rows: Mapping[str, Extremes], *, level: int, start: int
) -> None:
    """Stores rows of one block, by what they are of."""
    session.execute(
        insert(ExtremesRow),
        [
            {
                "attempt_id": attempt_id,
                "level": level,
                "statistic": name,
                "block": start // (BINS * span(level)),
                "data": values.astype(ENCODING).tobytes(),
                "places": places.astype(PLACE).tobytes(),
            }
            for name, (values, places) in rows.items()
        ],
    )


def rows_of_those_below(
    session: Session, attempt_id: int, level: int, start: int
) -> dict[str, Extremes] | None:
    """A level's rows of one block from those of the level below; None where some are missing."""
    first = start // (BINS * span(level - 1))
    rows = session.execute(
        select(
            ExtremesRow.statistic, ExtremesRow.block, ExtremesRow.data, ExtremesRow.places
        ).where(
            ExtremesRow.attempt_id == attempt_id,
            ExtremesRow.level == level - 1,
            ExtremesRow.block >= first,
            ExtremesRow.block < first + BINS,
            ExtremesRow.places.is_not(None),
        )
    ).all()
    if len({row.block for row in rows}) < BINS:
        return None  # over a gap in the sequences: there the rows below are read
    of_name: dict[str, dict[int, Extremes]] = defaultdict(dict)
    for name, block, data, places in rows:
        behind = (block - first) * BINS * span(level - 1)
        if places is not None:
            of_name[name][block - first] = decoded(data), decoded_places(places) + behind
    return {name: _joined(found) for name, found in of_name.items()}


def _joined(found: Mapping[int, Extremes]) -> Extremes:
    """Rows by their number among those that one is made of; what came later has no value before."""
    tensors = max(values.shape[-1] for values, _ in found.values())
    extremes = np.full((BINS, BINS, 2, tensors), np.nan)
    places = np.zeros(extremes.shape, dtype=np.int64)
    for number, (values, at) in found.items():
        extremes[number, ..., : values.shape[-1]] = values
        places[number, ..., : values.shape[-1]] = at
    flat = (-1, *extremes.shape[2:])
    return joined_extremes(extremes.reshape(flat), places.reshape(flat), BINS)
