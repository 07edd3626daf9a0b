"""Groups of layers of a run, and their medians: what good runs and others are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.role_groups import role_groups
from bifurk_service.store.measurements import info_of
from bifurk_service.store.models import Tensor

LEAST_LAYERS: Final = 2
LEAST_KNOWN: Final = 0.5
"""Of a group's layers: a median over fewer (not all spectra were in time) is none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """Tensors that do the same in every layer, or one alone; ``name`` is common to runs."""

    name: str
    role: str
    tensors: Sequence[Tensor]


def works_of(tensors: Sequence[Tensor]) -> list[Work]:
    """Every whole tensor of a run in one group, in the order of the model."""
    wholes = [tensor for tensor in tensors if tensor.piece_of is None]
    groups = {tensor.id: work for work in layers_alike(wholes) for tensor in work.tensors}
    works = [
        groups.get(one.id, Work(name=one.name, role=one.role, tensors=[one])) for one in wholes
    ]
    return list({work.name: work for work in works}.values())


def layers_alike(tensors: Sequence[Tensor]) -> list[Work]:
    """Those of these tensors that do the same in several layers, ``*`` for the layer in a name."""
    found = role_groups([info_of(tensor) for tensor in tensors], least_layers=LEAST_LAYERS)
    members = [
        [tensors[index] for index in row[mask]]
        for row, mask in zip(found.members, found.mask, strict=True)
    ]
    return [
        Work(name=name, role=own[0].role, tensors=own)
        for name, own in zip(found.names, members, strict=True)
    ]


def median_over_layers(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Medians float64 [N] of values float64 [T, N], NaN where too few of a group have one."""
    values = np.full(rows.shape[1], np.nan)
    enough = np.isfinite(rows).sum(axis=0) >= max(1.0, LEAST_KNOWN * len(rows))
    values[enough] = np.nanmedian(rows[:, enough], axis=0)
    return values
