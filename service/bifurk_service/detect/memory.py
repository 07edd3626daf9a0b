"""Named arrays with one row a series: what a detector remembers beside the last values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import State


class Memory:
    """Arrays by name, each [S, ...]; new series start with the value given for that name."""

    def __init__(self, **start: float | bool | NDArray[Any]) -> None:
        self._start = {name: np.asarray(value) for name, value in start.items()}
        self._arrays = self._fresh(0)
        self._series = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def __setitem__(self, name: str, array: NDArray[Any]) -> None:
        self._arrays[name] = array.astype(self._start[name].dtype, copy=False)

    def grow(self, series: int) -> None:
        """Adds series at the end until there are that many.

        Raises:
            ValueError: there are more already.
        """
        added = series - self._series
        if added < 0:
            raise ValueError(f"series are only ever added: {self._series} before, now {series}")
        if added:
            new = self._fresh(added)
            self._arrays = {
                name: np.concatenate([array, new[name]]) for name, array in self._arrays.items()
            }
            self._series = series

    def forget(self) -> None:
        """Every series starts anew."""
        self._arrays = self._fresh(self._series)

    def snapshot(self) -> State:
        """A copy of everything."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes up what ``snapshot`` gave."""
        self._arrays = {name: state[name].copy() for name in self._start}
        self._series = len(next(iter(self._arrays.values())))

    def _fresh(self, series: int) -> dict[str, NDArray[Any]]:
        return {
            name: np.broadcast_to(value, (series, *value.shape)).copy()
            for name, value in self._start.items()
        }
