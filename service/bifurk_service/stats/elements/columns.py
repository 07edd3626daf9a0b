"""Statistics of several tensors while they are being computed: a column each, and reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.value import TOO_LARGE, NoValue


class Columns:
    """Columns by name, float64 [T], and why a value is missing. The first reason given stays."""

    def __init__(self, tensors: int) -> None:
        self._tensors = tensors
        self._values: dict[str, NDArray[np.float64]] = {}
        self._reasons: list[dict[str, str]] = [{} for _ in range(tensors)]

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self._values[name]

    def put(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Adds columns, each [T]."""
        self._values.update(columns)

    def withhold(self, names: Sequence[str], where: NDArray[np.bool_], reason: NoValue) -> None:
        """Says that some tensors [T] have no such statistics, and why."""
        for tensor in np.flatnonzero(where).tolist():
            for name in names:
                self._reasons[tensor].setdefault(name, reason.reason)

    def table(self, names: Sequence[str]) -> tuple[NDArray[np.float64], list[dict[str, str]]]:
        """[T, len(names)], NaN where there is a reason: that it is not finite, if no other."""
        table = np.empty((self._tensors, len(names)))
        for column, name in enumerate(names):
            if name in self._values:
                table[:, column] = self._values[name]
        for tensor, reasons in enumerate(self._reasons):
            for name in reasons:
                table[tensor, names.index(name)] = np.nan
        for tensor, column in np.argwhere(~np.isfinite(table)).tolist():
            self._reasons[tensor].setdefault(names[column], TOO_LARGE.reason)
            table[tensor, column] = np.nan
        return table, self._reasons
