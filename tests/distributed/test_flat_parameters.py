"""Flat parameters of FSDP1: whatever the number of ranks, their ranges make up the whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from bifurk import flat_parameters
from bifurk.selection import select
from bifurk.sharing import Sender
from bifurk.wire import TensorPart
from bifurk_service.stats.shards import assembled
from tests.distributed.placed import as_rank, sent
from tests.distributed.test_layouts import Weights, assert_same

RANKS = 5
BOTH = pytest.mark.parametrize("originals", [True, False])


def flattened(module: nn.Module, *, originals: bool) -> nn.Module:
    return FullyShardedDataParallel(
        module, use_orig_params=originals, device_id=torch.device("cpu"), sync_module_states=False
    )


@pytest.fixture
def _alone() -> Iterator[None]:
    with as_rank(0, 2):
        yield


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_ranges_of_all_ranks_make_up_the_whole(dtype: torch.dtype, originals: bool) -> None:
    expected = {tensor.name: tensor for tensor in sent(Weights(dtype))}
    pieces: dict[str, list[TensorPart]] = {}
    for rank in range(RANKS):
        with as_rank(rank, RANKS):
            for tensor in sent(flattened(Weights(dtype), originals=originals)):
                pieces.setdefault(tensor.name, []).append(tensor)
    assert pieces.keys() == expected.keys()
    assert len(pieces["large"]) > 2
    for name, them in pieces.items():
        came = assembled(them)
        assert isinstance(came, TensorPart), came
        assert_same(came, expected[name])


def test_copies_of_ranges_are_read_in_the_place_of_the_flat_parameter() -> None:
    expected = {tensor.name: tensor for tensor in sent(Weights(torch.bfloat16).float())}
    pieces: dict[str, list[TensorPart]] = {}
    for rank in range(RANKS):
        with as_rank(rank, RANKS):
            model = flattened(Weights(torch.bfloat16), originals=True)
            copies = [one.detach().float() for one in model.parameters()]
            for tensor in sent(model, trained=copies):
                pieces.setdefault(tensor.name, []).append(tensor)
    assert pieces.keys() == expected.keys()
    for name, them in pieces.items():
        came = assembled(them)
        assert isinstance(came, TensorPart), came
        assert_same(came, expected[name])


@pytest.mark.usefixtures("_alone")
@BOTH
def test_parts_that_torch_does_not_tell_are_left_out_and_said_so(
    monkeypatch: pytest.MonkeyPatch, originals: bool
) -> None:
    model = nn.Sequential(flattened(nn.Linear(6, 5), originals=originals), nn.Linear(5, 3))
    (flat,) = (one._handle.flat_param for one in model.modules() if hasattr(one, "_handle"))
    monkeypatch.delattr(flat, "_shard_param_infos")
    selection = select(model, sender=Sender(rank=0))
    assert [tensor.name for tensor in selection.tensors] == ["1.weight", "1.bias"]
    assert list(selection.left_out) == [flat_parameters.UNTOLD]


@pytest.mark.usefixtures("_alone")
def test_what_does_not_lie_in_a_row_is_left_out_and_said_so() -> None:
    module = nn.Linear(6, 5)
    module.weight = nn.Parameter(torch.randn(6, 5).T)
    selection = select(flattened(module, originals=True), sender=Sender(rank=0))
    assert [tensor.name for tensor in selection.tensors] == ["bias"]
    assert selection.left_out == {flat_parameters.SCATTERED: ("weight",)}


@pytest.mark.usefixtures("_alone")
@BOTH
def test_a_parameter_under_two_names_counts_once(originals: bool) -> None:
    module: nn.Module = nn.Sequential(
        OrderedDict(first=nn.Linear(4, 4), second=nn.Linear(4, 4)),
    )
    module.second.weight = module.first.weight
    selection = select(flattened(module, originals=originals), sender=Sender(rank=0))
    names = [tensor.name for tensor in selection.tensors]
    assert names == ["first.weight", "first.bias", "second.bias"]
    assert dist.get_world_size() == 2


@pytest.mark.usefixtures("_alone")
def test_a_model_inside_of_its_wrapper_is_refused() -> None:
    model = nn.Linear(6, 5)
    flattened(model, originals=True)
    with pytest.raises(ValueError, match="FullyShardedDataParallel around it: watch that"):
        sent(model)
