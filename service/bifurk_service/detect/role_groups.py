"""Groups of one tensor a layer: what population detectors hold against one another.

A group is what one model calls by one name in every block (``blocks.*.mlp.up.weight``), of one role
and one number of dimensions. The name tells a role's several tensors of a layer apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bifurk_service.domain import TensorInfo

_NUMBERED = re.compile(r"(.*?)([0-9]+)")
_STAGE_STRIDE = 100
"""Block b of stage s has the layer index 100 s + b."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoleGroups:
    """G groups of at most L layers.

    Attributes:
        names: the tensors' common name with ``*`` for the layer.
        members: int64 [G, L], index of the tensor by depth; where ``mask`` is False, any.
        mask: bool [G, L], False behind a group's last layer.
    """

    names: tuple[str, ...]
    members: NDArray[np.int64]
    mask: NDArray[np.bool_]


def role_groups(tensors: Sequence[TensorInfo], *, least_layers: int) -> RoleGroups:
    """The groups of at least ``least_layers`` layers, in order of their first tensor."""
    layers: dict[tuple[str, str, int], dict[int, int]] = {}
    for series, tensor in enumerate(tensors):
        if tensor.layer is not None:
            key = (name_pattern(tensor.name, tensor.layer), tensor.role, len(tensor.shape))
            layers.setdefault(key, {}).setdefault(tensor.layer, series)
    found = {key: by_layer for key, by_layer in layers.items() if len(by_layer) >= least_layers}
    widest = max((len(by_layer) for by_layer in found.values()), default=0)
    members = np.zeros((len(found), widest), dtype=np.int64)
    mask = np.zeros((len(found), widest), dtype=np.bool_)
    for row, by_layer in enumerate(found.values()):
        members[row, : len(by_layer)] = [by_layer[layer] for layer in sorted(by_layer)]
        mask[row, : len(by_layer)] = True
    return RoleGroups(names=tuple(key[0] for key in found), members=members, mask=mask)


def name_pattern(name: str, layer: int) -> str:
    """The name with ``*`` for its layer; unchanged where the layer is not to be found in it.

    >>> name_pattern("blocks.3.experts.5.up", 3)
    'blocks.*.experts.5.up'
    >>> name_pattern("layer2.1.conv1.weight", 201)
    'layer*.*.conv1.weight'
    """
    parts = name.split(".")
    for numbers in ((layer,), divmod(layer, _STAGE_STRIDE)):
        replaced = _replaced(parts, numbers)
        if replaced is not None:
            return ".".join(replaced)
    return name


def _replaced(parts: Sequence[str], numbers: tuple[int, ...]) -> list[str] | None:
    """The path with ``*`` for each of the numbers in turn, or None where one is missing."""
    result, wanted = list(parts), list(numbers)
    for index, part in enumerate(parts):
        found = _NUMBERED.fullmatch(part)
        if wanted and found is not None and int(found[2]) == wanted[0]:
            result[index] = f"{found[1]}*"
            wanted.pop(0)
    return None if wanted else result
