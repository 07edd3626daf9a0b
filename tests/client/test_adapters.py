"""Which parameters are the left factors of adapters, by the attributes that peft gives a layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

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


def test_factors_that_are_wrapped_themselves_are_found() -> None:
    model = Adapted({"default": 4})
    for factors in (model.lora_A, model.lora_B):
        factors["default"] = checkpoint_wrapper(factors["default"])
    found = {t.name: t.product for t in select(model).tensors}
    assert found["lora_B.default.weight"] == Product(right="lora_A.default.weight", scale=4.0)


@pytest.mark.parametrize("scaling", [None, {}, {"default": "much"}, {"default": float("inf")}, 2.0])
def test_without_a_scale_nothing_is_said(scaling: Any) -> None:
    assert product_of(Adapted(scaling), "lora_B.default.weight") is None


@pytest.mark.parametrize(
    "name", ["lora_B", "lora_B.other.weight", "base_layer.weight", "a.b.lora_B.x"]
)
def test_other_names_are_none(name: str) -> None:
    assert product_of(Adapted({"default": 1.0}), name) is None


class Experts(nn.Module):
    def __init__(self, experts: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(experts, 6, 8))
        self.out = nn.Linear(6, 4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("experts", "declared"), [(1, 1), (3, 0)])
def test_factors_of_several_experts_have_no_product(experts: int, declared: int) -> None:
    import peft

    config = peft.LoraConfig(r=2, target_modules=[], target_parameters=["mlp.weights"])
    model = nn.ModuleDict({"mlp": Experts(experts)})
    tensors = select(peft.get_peft_model(model, config)).tensors
    assert len(tensors) == 2
    assert [t.product is not None for t in tensors].count(True) == declared


@pytest.mark.filterwarnings("ignore")
def test_a_bias_of_the_left_factor_is_none_itself() -> None:
    import peft

    config = peft.LoraConfig(r=2, target_modules=["out"], lora_bias=True)
    found = {
        t.name.partition("out.")[2]: t.product and t.product.right.partition("out.")[2]
        for t in select(peft.get_peft_model(Experts(1), config)).tensors
    }
    assert found == {
        "lora_A.default.weight": None,
        "lora_B.default.weight": "lora_A.default.weight",
        "lora_B.default.bias": None,
    }


def test_a_left_factor_without_its_right_one_is_none() -> None:
    model = Adapted({"default": 1.0})
    del model.lora_A["default"]
    assert product_of(model, "lora_B.default.weight") is None
