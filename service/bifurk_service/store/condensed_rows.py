"""Rows of what is condensed: eight bins of one statistic of all tensors, at one of three levels."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bifurk_service.stats.extreme_places import joined_extremes
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.models import ExtremesRow

BINS: Final = 8
"""Bins of one row; as many bins of a level are one of the next."""
LEVELS: Final = (1, 2, 3)
ENCODING: Final = "<f8"
PLACE: Final = "<u2"


def span(level: int) -> int:
    """Snapshots that one bin spans."""
    return int(BINS**level)


def decoded(data: bytes) -> NDArray[np.float64]:
    """A row's extremes, float64 [BINS, 2, T]."""
    return np.frombuffer(data, dtype=ENCODING).reshape(BINS, 2, -1)


def decoded_places(places: bytes) -> NDArray[np.int64]:
    """Where they stand, in sequences behind the row's begin, int64 [BINS, 2, T]."""
    return np.frombuffer(places, dtype=PLACE).reshape(BINS, 2, -1).astype(np.int64)


def keep_row(
    session: Session,
    attempt_id: int,
    level: int,
    start: int,
    extremes: NDArray[np.float64],
    places: NDArray[np.integer[Any]],
) -> None:
    """Stores a row a statistic: extremes and places [BINS, 2, T, statistics]."""
    session.execute(
        insert(ExtremesRow),
        [
            {
                "attempt_id": attempt_id,
                "level": level,
                "statistic": name,
                "block": start // (BINS * span(level)),
                "data": extremes[..., place].astype(ENCODING).tobytes(),
                "places": places[..., place].astype(PLACE).tobytes(),
            }
            for place, name in enumerate(STATISTIC_NAMES)
        ],
    )


def row_of_those_below(
    session: Session, attempt_id: int, level: int, start: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """A level's row from those below it: extremes and places, [BINS, 2, T, statistics].

    None where one of them is not there.
    """
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
    index = {name: place for place, name in enumerate(STATISTIC_NAMES)}
    tensors = max(len(row.data) for row in rows) // (BINS * 2 * np.dtype(ENCODING).itemsize)
    shape = (BINS, BINS, 2, tensors, len(STATISTIC_NAMES))
    extremes, places = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    for row in rows:
        if row.statistic in index:
            number, values = row.block - first, decoded(row.data)
            place = number, slice(None), slice(None), slice(values.shape[-1]), index[row.statistic]
            extremes[place] = values
            places[place] = decoded_places(row.places) + number * BINS * span(level - 1)
    flat = (-1, *shape[2:])
    return joined_extremes(extremes.reshape(flat), places.reshape(flat), BINS)
