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
    raw = parameter_name.split(".")
    place = next((index for index, word in enumerate(raw) if word in RIGHT_OF), None)
    if place is None:
        return None
    # A factor may be wrapped by itself, as sharding does it.
    word, *rest = strip_wrappers(".".join(raw[place:])).split(".")
    if not rest or rest[1:] not in FACTORS:
        return None
    try:
        layer = model.get_submodule(".".join(raw[:place]))
        scale = _scale(getattr(layer, "scaling", None), rest[0])
        if scale is None or getattr(layer, "num_experts", 1) != 1:
            return None
        if rest[0] not in getattr(layer, RIGHT_OF[word]):
            return None
    except Exception:  # noqa: BLE001 - a property of the user's own may do anything
        return None
    right = ".".join([*raw[:place], RIGHT_OF[word], *rest])
    return Product(right=strip_wrappers(right), scale=scale)


def _scale(scaling: Any, adapter: str) -> float | None:
    if not isinstance(scaling, Mapping) or adapter not in scaling:
        return None
    scale = float(scaling[adapter])
    return scale if math.isfinite(scale) else None
