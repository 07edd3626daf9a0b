"""Low-rank adapters: which two parameters make up the update of which frozen matrix.

By peft's public attributes: a layer keeps its left factors under ``lora_B`` (or
``lora_embedding_B``), its right ones under ``lora_A``, both by adapter, and the factor before their
product in ``scaling``. Factors of a parameter of several experts (``num_experts``) hold those in
different orders, rows by expert and columns by rank: their product is no update of anything.
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

FACTORS: Final[tuple[list[str], ...]] = ([], ["weight"])
"""What may stand behind the adapter's name: a factor is a parameter, or a module's weight."""


def product_of(model: torch.nn.Module, parameter_name: str) -> Product | None:
    """What a parameter makes as the left factor of an adapter; None for every other parameter.

    Whatever the modules' attributes do when they are read, nothing is raised.

    Args:
        model: as it is watched, wrapped or not.
        parameter_name: as ``model.named_parameters()`` has it.
    """
    path = parameter_name.split(".")
    place = next((index for index, word in enumerate(path) if word in RIGHT_OF), None)
    if place is None or len(path) < place + 2 or path[place + 2 :] not in FACTORS:
        return None
    right = ".".join([*path[:place], RIGHT_OF[path[place]], *path[place + 1 :]])
    try:
        layer = model.get_submodule(".".join(path[:place]))
        scale = _scale(getattr(layer, "scaling", None), path[place + 1])
        if scale is None or getattr(layer, "num_experts", 1) != 1:
            return None
        model.get_parameter(right)
    except Exception:  # noqa: BLE001 - a property of the user's own may do anything
        return None
    return Product(right=strip_wrappers(right), scale=scale)


def _scale(scaling: Any, adapter: str) -> float | None:
    if not isinstance(scaling, Mapping) or adapter not in scaling:
        return None
    scale = float(scaling[adapter])
    return scale if math.isfinite(scale) else None
