"""What one part says: the manifest and, per tensor, what is carried.

These values are the contract between client and server; ``encode`` and ``decode`` turn
them into bytes and back. ``docs/wire-format.md`` describes the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from bifurk.exact import Exact
from bifurk.packing import Packing
from bifurk.sketch import Sketch

WIRE_VERSION: Final = "1.2"
"""``major.minor``; a server takes its own major, and minors up to two older or any newer."""

Detail: TypeAlias = str | float | int | bool | None
"""A value in marks and optimizer settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which piece of a sharded tensor this part carries: offset and shape along every axis.

    With a single axis, where the tensor has another number of them, it is a range of the tensor's
    elements in row-major order, as flattened parameters are cut.
    """

    offset: tuple[int, ...]
    local_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Says of a tensor that it is the left factor of a matrix: ``scale`` x left x right.

    Both factors are read as matrices, [first axis, rest]; an adapter's update of a frozen matrix
    is such a product, which nobody has to build.

    Attributes:
        right: name of the other factor. scale: of the product; finite.
    """

    right: str
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPart:
    """One tensor in one part.

    Attributes:
        name: the parameter's name, wrappers stripped. Text only, never part of a path.
        layer: index of the repeated block it belongs to, or None.
        role: one of ``bifurk.layout.ROLES``.
        shape: of the whole tensor. dtype: the parameter's own, as torch names it.
        counts: of all carried elements; None when ``values`` holds them exactly.
        values: all elements, flat in row-major order; for small tensors.
        sample: the elements at ``bifurk.sketch.sample_positions``, for larger ones; in a shard
            those of the whole tensor's that lie in it, in their order.
        full: all elements in their own shape; when due.
        placement: None when the part carries the whole tensor.
        packing: how several projections lie in the whole tensor; ``WHOLE`` where the client says
            that it is one, None where it says nothing (as before 1.1).
        product: what it makes together with another tensor; None where nothing (as before 1.2).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str = "other"
    layer: int | None = None
    counts: Sketch | None = None
    values: Exact | None = None
    sample: Exact | None = None
    full: Exact | None = None
    placement: Placement | None = None
    packing: Packing | None = None
    product: Product | None = None

    @property
    def size(self) -> int:
        """Number of elements of the whole tensor."""
        return math.prod(self.shape)

    @property
    def local_shape(self) -> tuple[int, ...]:
        """Shape of what this part carries of it."""
        return self.placement.local_shape if self.placement else self.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarSummary:
    """What the user logged under one name since the last snapshot."""

    last: float
    mean: float
    min: float
    max: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something the run did at a step: checkpoint, evaluation, resume, schedule, interval."""

    kind: str
    step: int
    details: Mapping[str, Detail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossReport:
    """What the client could not deliver so far in this attempt, and what it cost the run.

    Attributes:
        dropped: number of snapshots by reason.
        lost_sequences: closed ranges [first, last] of sequences that will never come.
        overhead_ratio: measured share of the training time spent in the hook.
    """

    dropped: Mapping[str, int] = field(default_factory=dict)
    lost_sequences: tuple[tuple[int, int], ...] = ()
    overhead_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a part says about itself and about the run; see ``docs/wire-format.md``."""

    project: str
    run: str
    attempt: str
    step: int
    sequence: int
    previous_step: int | None = None
    off_grid: bool = False
    rank: int = 0
    expected_parts: int = 1
    wall_clock_seconds: float = 0.0
    display_name: str | None = None
    optimizer: str = ""
    optimizer_settings: Mapping[str, Detail] = field(default_factory=dict)
    learning_rates: tuple[float, ...] = ()
    scalars: Mapping[str, ScalarSummary] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    loss_report: LossReport = field(default_factory=LossReport)
    client: Mapping[str, str] = field(default_factory=dict)
    wire_version: str = WIRE_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A whole part: manifest and tensors, in the order of the model."""

    manifest: Manifest
    tensors: tuple[TensorPart, ...]


def strip_full(part: Part) -> Part:
    """The same part without full values: what is kept once they have been measured."""
    return replace(part, tensors=tuple(replace(tensor, full=None) for tensor in part.tensors))
