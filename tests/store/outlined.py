"""What a series in fewer points must be, by the whole one."""

from __future__ import annotations

from typing import Any

import numpy as np

from bifurk_service.store.outlined_series import Asked, outlined_series
from bifurk_service.store.series import StatisticSeries, statistic_series
from tests.written_run import WrittenRun


def check_outlined(run: WrittenRun, points: int, **asked: Any) -> list[StatisticSeries]:
    """The points are the series' own, no more than asked for, and no extreme is lost."""
    with run.database.read() as session:
        every = list(statistic_series(session, run.id, "std", run.tensors, **asked))
        fewer = list(
            outlined_series(
                session,
                Asked(
                    run_id=run.id,
                    statistic="std",
                    tensor_ids=run.tensors,
                    points=points,
                    **asked,
                ),
            )
        )
    for whole, found in zip(every, fewer, strict=True):
        check_points(whole, found, points)
    return fewer


def check_points(whole: StatisticSeries, found: StatisticSeries, points: int) -> None:
    """The same of one course."""
    assert found.tensor_id == whole.tensor_id
    values = dict(zip(whole.steps.tolist(), whole.values.tolist(), strict=True))
    assert (np.diff(found.steps) > 0).all()
    np.testing.assert_array_equal(found.values, [values[step] for step in found.steps.tolist()])
    if len(found.steps) == len(whole.steps):
        return
    assert len(found.steps) <= points
    assert found.steps[[0, -1]].tolist() == whole.steps[[0, -1]].tolist()
    # What is read is cut into stretches of some length; each value lies between two extremes.
    reach = 4 * (whole.steps[-1] - whole.steps[0]) / max(1, (points - 2) // 2)
    known = ~np.isnan(found.values)
    steps, extremes = found.steps[known], found.values[known]
    for step, value in values.items():
        near = extremes[np.abs(steps - step) <= reach]
        assert np.isnan(value) or near.min() <= value <= near.max()
