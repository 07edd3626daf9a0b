"""What a written run's spans must be, by its values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from bifurk_service.stats.spans import Spans
from bifurk_service.store.engine import Database
from bifurk_service.store.models import ExtremesRow
from bifurk_service.store.span_courses import read_spans
from tests.written_run import WrittenRun


def spans_of(run: WrittenRun, *, widest: float = np.inf, statistic: str = "std") -> Spans:
    with run.database.read() as session:
        return read_spans(
            session,
            run.id,
            statistic,
            run.tensors,
            narrow=lambda first, last: last - first <= widest,
        )


def check(run: WrittenRun, spans: Spans) -> None:
    """Every step is in one span, and the spans' extremes are those of the steps in them."""
    steps = np.unique([step for _, step in run.values])
    ends = zip(spans.first, spans.last, strict=True)
    covered = [steps[(steps >= first) & (steps <= last)] for first, last in ends]
    np.testing.assert_array_equal(np.concatenate(covered), steps)
    for row, tensor in enumerate(run.tensors):
        values = [[run.values.get((tensor, at), np.nan) for at in steps] for steps in covered]
        low, high = np.array([_extremes(np.array(one)) for one in values]).T
        np.testing.assert_array_equal(spans.low[row], low)
        np.testing.assert_array_equal(spans.high[row], high)


def _extremes(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    return (known.min(), known.max()) if known.size else (np.nan, np.nan)


def condensed_rows(database: Database) -> dict[int, int]:
    with database.read() as session:
        query = (
            select(ExtremesRow.level, func.count())
            .where(ExtremesRow.statistic == "std")
            .group_by(ExtremesRow.level)
        )
        return dict(session.execute(query).all())
