"""Which parameters are the left factors of adapters, by the attributes that peft gives a layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bifurk.adapters import product_of
from bifurk.selection import select
from bifurk.wire import Product


class Adapted(nn.Module):
    def __init__(self, scaling: Any) -> None:
        super().__init__()
        self.lora_A = nn.ModuleDict({"default": nn.Linear(6, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, 5, bias=False)})
        self.lora_embedding_A = nn.ParameterDict({"default": nn.Parameter(torch.ones(2, 6))})
        self.lora_embedding_B = nn.ParameterDict({"default": nn.Parameter(torch.ones(5, 2))})
        self.scaling = scaling


def test_the_left_factor_names_the_right_one_and_the_scale() -> None:
    model = torch.compile(nn.ModuleDict({"q": Adapted({"default": 4})}), backend="eager")
    found = {t.name: t.product for t in select(model).tensors}
    assert found == {
        "q.lora_A.default.weight": None,
        "q.lora_B.default.weight": Product(right="q.lora_A.default.weight", scale=4.0),
        "q.lora_embedding_A.default": None,
        "q.lora_embedding_B.default": Product(right="q.lora_embedding_A.default", scale=4.0),
    }


@pytest.mark.parametrize("scaling", [None, {}, {"default": "much"}, {"default": float("inf")}, 2.0])
def test_without_a_scale_nothing_is_said(scaling: Any) -> None:
    assert product_of(Adapted(scaling), "lora_B.default.weight") is None


@pytest.mark.parametrize(
    "name", ["lora_B", "lora_B.other.weight", "base_layer.weight", "a.b.lora_B.x"]
)
def test_other_names_are_none(name: str) -> None:
    assert product_of(Adapted({"default": 1.0}), name) is None
