"""What the training thread hands over: a snapshot, and where an attempt ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from bifurk.capture import Snapshot
from bifurk.scalars import Interval
from bifurk.wire import Detail, Mark


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taken:
    """A snapshot as the training thread left it.

    Attributes:
        learning_rates: floats, or copies of tensors that still lie on a device.
        off_grid: whether the server asked for it between two snapshots of the grid.
        scalars, marks: since the grid's snapshot before; none off the grid.
    """

    snapshot: Snapshot
    step: int
    sequence: int
    previous_step: int | None
    off_grid: bool
    wall_clock_seconds: float
    optimizer: str
    optimizer_settings: Mapping[str, Detail]
    learning_rates: tuple[float | torch.Tensor, ...]
    scalars: Interval
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reached:
    """Where an attempt ended that the training went back from.

    Attributes:
        step: the last one. number: of its last snapshot, taken or not; None without one.
        scalars, marks: since its last snapshot of the grid.
    """

    step: int
    number: int | None
    scalars: Interval
    marks: tuple[Mark, ...]
