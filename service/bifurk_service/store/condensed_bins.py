"""Bins of what is condensed, read where they lie in ranges of sequences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from bifurk_service.store.condensed_rows import BINS, decoded, decoded_places, span
from bifurk_service.store.models import ExtremesRow

Range: TypeAlias = tuple[int, int]
"""Sequences from the first to the last, both included."""

MOST_RANGES: Final = 100
"""Of one statement; more are read from the first to the last, and what is between is left out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bins:
    """N bins of one level, of T courses.

    Attributes:
        begins: the sequences they begin with, int64 [N], ascending.
        values: the least and the greatest in each, float64 [2, T, N], NaN without one.
        at: the sequences where these stand, int64 [2, T, N].
    """

    begins: NDArray[np.int64]
    values: NDArray[np.float64]
    at: NDArray[np.int64]


def bins_in(
    session: Session,
    attempt_id: int,
    level: int,
    name: str,
    places: NDArray[np.intp],
    ranges: Sequence[Range],
) -> Bins:
    """The bins of a level that lie in one of some ranges with all they have.

    Args:
        name: of the rows. places: of the courses in them. ranges: ascending, apart.
    """
    length = BINS * span(level)
    rows = session.execute(
        select(ExtremesRow.block, ExtremesRow.data, ExtremesRow.places)
        .where(
            ExtremesRow.attempt_id == attempt_id,
            ExtremesRow.level == level,
            ExtremesRow.statistic == name,
            or_(
                False,  # noqa: FBT003 - where there is no range
                *(
                    ExtremesRow.block.between(first // length, last // length)
                    for first, last in _few(ranges)
                ),
            ),
        )
        .order_by(ExtremesRow.block)
    )
    # Rows of earlier versions do not say where their extremes stand.
    known = [(block * length, data, at) for block, data, at in rows if at is not None]
    starts = np.array([start for start, *_ in known], dtype=np.int64)
    begins = (starts[:, None] + span(level) * np.arange(BINS)).reshape(-1)
    values = np.full((len(begins), 2, len(places)), np.nan)
    at = np.zeros(values.shape, dtype=np.int64)
    for number, (start, data, behind) in enumerate(known):
        row = slice(number * BINS, (number + 1) * BINS)
        extremes, stands = decoded(data), decoded_places(behind) + start
        # A course that came after the row was made has no value in it.
        among = places < extremes.shape[-1]
        values[row][..., among] = extremes[..., places[among]]
        at[row][..., among] = stands[..., places[among]]
    inside = _are_inside(begins, span(level), ranges)
    return Bins(
        begins=begins[inside],
        values=np.moveaxis(values[inside], 0, 2),
        at=np.moveaxis(at[inside], 0, 2),
    )


def bins_of_statistics(
    session: Session,
    attempt_id: int,
    level: int,
    names: Sequence[str],
    place: int,
    ranges: Sequence[Range],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What K rows tell of one tensor: where bins begin, [N], and their extremes, [2, K, N].

    Args:
        names: of the rows; a block counts where it has all of them. place: of the tensor in them.
        ranges: ascending, apart.
    """
    length, number = BINS * span(level), {name: at for at, name in enumerate(names)}
    query = select(ExtremesRow.block, ExtremesRow.statistic, ExtremesRow.data).where(
        ExtremesRow.attempt_id == attempt_id,
        ExtremesRow.level == level,
        ExtremesRow.statistic.in_(names),
        ExtremesRow.places.is_not(None),
    )
    found: dict[int, dict[int, bytes]] = defaultdict(dict)
    for first, last in _few(ranges):
        between = ExtremesRow.block.between(first // length, last // length)
        for block, name, data in session.execute(query.where(between)):
            found[block][number[name]] = data
    blocks = sorted(block for block, rows in found.items() if len(rows) == len(names))
    values = np.full((len(blocks), BINS, 2, len(names)), np.nan)
    for one, block in enumerate(blocks):
        for row, data in found[block].items():
            extremes = decoded(data)
            # A tensor that came after the row was made has no value in it.
            if place < extremes.shape[-1]:
                values[one, ..., row] = extremes[..., place]
    starts = length * np.array(blocks, dtype=np.int64)
    begins = (starts[:, None] + span(level) * np.arange(BINS)).reshape(-1)
    inside = _are_inside(begins, span(level), ranges)
    flat = values.reshape(-1, 2, len(names))[inside]
    return begins[inside], np.moveaxis(flat, 0, 2)


def without(ranges: Sequence[Range], begins: NDArray[np.int64], length: int) -> list[Range]:
    """What stretches of a length, ascending and each in one range, leave of the ranges."""
    left: list[Range] = []
    for first, last in ranges:
        own = begins[np.searchsorted(begins, first) : np.searchsorted(begins, last, side="right")]
        edges = np.concatenate(([first], own + length))
        ends = np.concatenate((own - 1, [last]))
        left += [(int(a), int(b)) for a, b in zip(edges, ends, strict=True) if a <= b]
    return left


def runs_of(begins: NDArray[np.int64], length: int) -> list[Range]:
    """The ranges that stretches of a length, ascending, make together."""
    if not len(begins):
        return []
    breaks = np.flatnonzero(np.diff(begins) != length) + 1
    return [(int(one[0]), int(one[-1]) + length - 1) for one in np.split(begins, breaks)]


def _few(ranges: Sequence[Range]) -> Sequence[Range]:
    return ranges if len(ranges) <= MOST_RANGES else [(ranges[0][0], ranges[-1][1])]


def _are_inside(
    begins: NDArray[np.int64], length: int, ranges: Sequence[Range]
) -> NDArray[np.bool_]:
    if not ranges:
        return np.zeros(len(begins), dtype=np.bool_)
    firsts, lasts = np.array(ranges, dtype=np.int64).T
    which = np.searchsorted(firsts, begins, side="right") - 1
    found: NDArray[np.bool_] = begins + length - 1 <= lasts[np.maximum(which, 0)]
    return found & (which >= 0)
