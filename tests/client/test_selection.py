"""Which parameters are watched, under which names."""

from __future__ import annotations

import gc
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from bifurk.selection import select, signature


class Wrapped(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def names(model: nn.Module, **filters: Any) -> list[str]:
    return [tensor.name for tensor in select(model, **filters).tensors]


def test_wrappers_leave_no_trace_in_names() -> None:
    compiled = cast("nn.Module", torch.compile(nn.Sequential(nn.Linear(2, 2)), backend="eager"))
    assert names(Wrapped(compiled)) == ["0.weight", "0.bias"]


def test_tied_weights_count_once() -> None:
    model = nn.Module()
    model.embedding = nn.Embedding(4, 2)
    model.head = nn.Linear(2, 4, bias=False)
    model.head.weight = model.embedding.weight
    assert names(model) == ["embedding.weight"]


def test_two_parameters_never_share_a_name() -> None:
    model = nn.Module()
    model.weight = nn.Parameter(torch.ones(1))
    model.module = nn.Module()
    model.module.weight = nn.Parameter(torch.ones(1))
    assert names(model) == ["weight", "module.weight"]


def test_layer_and_role_come_from_the_name_and_from_the_user() -> None:
    model = nn.Module()
    model.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    selection = select(model, roles={"layers.1.weight": "mlp.up"})
    assert [tensor.layer for tensor in selection.tensors] == [0, 0, 1, 1]
    assert selection.tensors[2].role == "mlp.up"


def test_packings_come_from_the_module_and_from_the_user() -> None:
    model = nn.ModuleList([nn.TransformerEncoderLayer(8, 2), nn.Linear(8, 8)])
    told = {"1.weight": "query,key"}
    packed = {t.name: str(t.packing) for t in select(model, packings=told).tensors if t.packing}
    assert packed == {
        "0.self_attn.in_proj_weight": "attention.query=8,attention.key=8,attention.value=8@axis0",
        "1.weight": "attention.query=4,attention.key=4@axis0",
    }


def test_a_packing_that_does_not_fit_is_a_misfit_and_leaves_the_tensor_watched() -> None:
    selection = select(nn.Linear(5, 7, bias=False), packings={"*": "query,key,value"})
    [tensor] = selection.tensors
    assert tensor.packing is None
    [misfit] = selection.misfits
    assert misfit.startswith("packing of weight: packing 'query,key,value' does not fit [7, 5]")
    assert selection.warning() == misfit


def test_globs_choose_and_are_not_warned_of() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    assert names(model, include=["0.*"]) == ["0.weight", "0.bias"]
    assert names(model, include=["0.*"], exclude=["*.bias"]) == ["0.weight"]
    assert select(model, exclude=["*.bias"]).warning() is None


def oddities() -> nn.Module:
    model = nn.Module()
    model.good = nn.Parameter(torch.ones(2))
    model.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    model.whole = nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)
    model.phases = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    model.scattered = nn.Parameter(torch.eye(2).to_sparse())
    model.elsewhere = nn.Parameter(torch.ones(2, device="meta"))
    model.nothing = nn.Parameter(torch.ones(0, 3))
    model.eighth = nn.Parameter(torch.ones(2).to(torch.float8_e4m3fn))
    return model


def test_what_cannot_be_watched_is_left_out_with_its_reason() -> None:
    selection = select(oddities())
    assert [tensor.name for tensor in selection.tensors] == ["good"]
    assert selection.left_out == {
        "frozen": ("frozen", "whole"),
        "complex": ("phases",),
        "sparse": ("scattered",),
        "on the meta device": ("elsewhere",),
        "empty": ("nothing",),
        "dtype torch.float8_e4m3fn": ("eighth",),
    }


def test_the_signature_can_be_taken_of_anything() -> None:
    model = oddities()
    assert signature(model) == signature(model)


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_a_lazy_parameter_is_watched_once_it_is_there() -> None:
    model = nn.LazyLinear(2)
    before = signature(model)
    assert select(model).left_out == {"not initialised yet": ("weight", "bias")}
    model(torch.ones(1, 3))
    assert signature(model) != before
    assert names(model) == ["weight", "bias"]


def test_a_long_list_is_cut_short() -> None:
    model = nn.ParameterList([nn.Parameter(torch.ones(1), requires_grad=False) for _ in range(9)])
    assert select(model).warning() == "not watched: frozen: 0, 1, 2 and 6 more"


def test_a_selection_does_not_keep_its_parameters() -> None:
    model = nn.Linear(2, 2)
    tensors = select(model).tensors
    del model
    gc.collect()
    assert [tensor.parameter() for tensor in tensors] == [None, None]


def test_an_averaged_copy_of_weights_is_left_out_but_may_be_watched_itself() -> None:
    model = nn.Module()
    model.net = nn.Linear(3, 2)
    model.ema = AveragedModel(model.net)
    selection = select(model)
    assert [tensor.name for tensor in selection.tensors] == ["net.weight", "net.bias"]
    assert selection.left_out == {
        "an average of others": ("ema.weight", "ema.bias"),
    }
    assert [tensor.name for tensor in select(model.ema).tensors] == ["weight", "bias"]
