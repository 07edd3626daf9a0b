"""Low-rank adapters: which two parameters make up the update of which frozen matrix.

By peft's public attributes: a layer keeps its left factors under ``lora_B`` (or
``lora_embedding_B``), its right ones under ``lora_A``, both by adapter, and the factor before their
product in ``scaling``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch

from bifurk.layout import strip_wrappers
from bifurk.wire import Product

RIGHT_OF: Final = {"lora_B": "lora_A", "lora_embedding_B": "lora_embedding_A"}
"""By the word for the left factor that for the right one."""


def product_of(model: torch.nn.Module, parameter_name: str) -> Product | None:
    """What a parameter makes as the left factor of an adapter; None for every other parameter.

    Whatever the modules' attributes do when they are read, nothing is raised.

    Args:
        model: as it is watched, wrapped or not.
        parameter_name: as ``model.named_parameters()`` has it.
    """
    path = parameter_name.split(".")
    place = next((index for index, word in enumerate(path) if word in RIGHT_OF), None)
    if place is None or len(path) < place + 2:
        return None
    try:
        layer = model.get_submodule(".".join(path[:place]))
        scale = _scale(getattr(layer, "scaling", None), path[place + 1])
    except Exception:  # noqa: BLE001 - a property of the user's own may do anything
        return None
    if scale is None:
        return None
    right = ".".join([*path[:place], RIGHT_OF[path[place]], *path[place + 1 :]])
    return Product(right=strip_wrappers(right), scale=scale)


def _scale(scaling: Any, adapter: str) -> float | None:
    if not isinstance(scaling, Mapping) or adapter not in scaling:
        return None
    scale = float(scaling[adapter])
    return scale if math.isfinite(scale) else None
