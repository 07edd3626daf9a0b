"""The data behind the figures of branches, a stretch of steps at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bifurk_service.pages.branch_courses import ChosenLayers
from bifurk_service.pages.forks import branch_of
from bifurk_service.pages.views import BranchesView
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.engine import Database
from bifurk_service.store.kept_extremes import Points
from bifurk_service.store.series import StatisticSeries
from bifurk_service.store.streaming import series_between, step_ranges, streamed_series


def trajectory_rows(
    database: Database, shown: ChosenLayers, view: BranchesView
) -> Iterator[tuple[object, ...]]:
    """Tensor, layer, branch, step and value: the layers' courses, one after the other."""
    fork = shown.chosen.coloring
    branches = {} if fork is None else branch_of(fork, shown.chosen.group)
    tensors = {tensor.id: tensor for tensor in shown.chosen.group.tensors}
    values_of = _Values(shown, view)
    for part in streamed_series(database, shown.run_id, shown.chosen.statistic, list(tensors)):
        tensor, (steps, values) = tensors[part.tensor_id], values_of(part)
        about = (tensor.name, tensor.layer or 0, branches.get(tensor.id))
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            yield *about, step, value


def depth_rows(
    database: Database, shown: ChosenLayers, view: BranchesView
) -> Iterator[tuple[object, ...]]:
    """A step, and the value of each layer; NaN where one has none."""
    ids = [tensor.id for tensor in shown.chosen.group.tensors]
    values_of = _Values(shown, view)
    for between in step_ranges(database, shown.run_id):
        found = series_between(database, shown.run_id, shown.chosen.statistic, ids, between)
        yield from _by_step([values_of(one) for one in found])


class _Values:
    """Makes of parts of courses, in their order, what the figure draws of them."""

    def __init__(self, shown: ChosenLayers, view: BranchesView) -> None:
        self._only_known = shown.chosen.statistic in BY_NAME
        self._relative = view.values == "relative"
        self._first: dict[int, float] = {}

    def __call__(self, part: StatisticSeries) -> Points:
        known = np.isfinite(part.values) | (not self._only_known)
        steps, values = part.steps[known], part.values[known]
        if self._relative and len(values):
            first = self._first.setdefault(part.tensor_id, float(values[0]))
            values = values / first if first else np.full_like(values, np.nan)
        return steps, values


def _by_step(courses: Sequence[Points]) -> Iterator[tuple[object, ...]]:
    none: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    every = np.unique(np.concatenate([none, *(steps for steps, _ in courses)]))
    table = np.full((len(every), len(courses)), np.nan)
    for column, (steps, values) in enumerate(courses):
        table[np.searchsorted(every, steps), column] = values
    for step, row in zip(every.tolist(), table.tolist(), strict=True):
        yield step, *row
