"""What the ranks send of a sharded model makes up what one client would send of the whole."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.placement_types import Placement
from torch.distributed.tensor.placement_types import _StridedShard as Strided

import bifurk
from bifurk.device_counts import DeviceCounts
from bifurk.exact import Exact
from bifurk.selection import select
from bifurk.shards import shard_of
from bifurk.sharing import Sender
from bifurk.sketch import KEYS
from bifurk.wire import Placement as PiecePlacement
from bifurk.wire import TensorPart
from bifurk_service.stats.shards import assembled
from bifurk_service.stats.value import NoValue
from tests.distributed.placed import Layout, as_rank, sent, sharded

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)

LAYOUTS = {
    "uneven rows": Layout((3,), {"large": [Shard(0)], "small": [Shard(0)], "gain": [Shard(0)]}),
    "a rank without any": Layout((4,), {"large": [Shard(0)], "row": [Shard(0)]}),
    "columns": Layout((4,), {"large": [Shard(1)], "small": [Shard(-1)]}),
    "rows and columns": Layout((2, 2), {"large": [Shard(0), Shard(1)], "small": [Shard(1)] * 2}),
    "hybrid": Layout((2, 2), {"large": [Replicate(), Shard(0)], "gain": [Shard(0), Replicate()]}),
    "strided": Layout((2, 2), {"large": [Strided(0, sf=2), Shard(0)], "row": [Shard(0)] * 2}),
    "strided twice": Layout(
        (2, 2, 2), {"large": [Strided(0, sf=4), Strided(0, sf=2), Shard(0)], "gain": [Shard(0)] * 3}
    ),
    "strided columns": Layout((2, 2), {"large": [Strided(1, sf=2), Shard(1)]}),
    "replicated": Layout((3,), {"large": [Shard(0)], "small": [Replicate()]}),
}


class Weights(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.large = nn.Parameter(torch.randn(151, 129).to(dtype))
        self.small = nn.Parameter(torch.randn(61, 67).to(dtype))
        self.gain = nn.Parameter(torch.randn(151).to(dtype))
        self.row = nn.Parameter(torch.randn(1, 7).to(dtype))


def parts_of(whole: nn.Module, layout: Layout) -> list[tuple[TensorPart, ...]]:
    parts = []
    for rank in range(layout.ranks):
        with as_rank(rank, layout.ranks):
            parts.append(sent(sharded(whole, layout)))
    return parts


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_the_parts_of_all_ranks_make_up_the_whole(layout: Layout, dtype: torch.dtype) -> None:
    whole = Weights(dtype)
    expected = {tensor.name: tensor for tensor in sent(whole)}
    pieces: dict[str, list[TensorPart]] = {}
    for tensors in parts_of(whole, layout):
        for tensor in tensors:
            pieces.setdefault(tensor.name, []).append(tensor)
    assert pieces.keys() == expected.keys()
    for name, them in pieces.items():
        assert sum(tensor.counts is not None for tensor in them) in (0, len(them))
        came = assembled(them)
        assert isinstance(came, TensorPart), came
        assert_same(came, expected[name])


def assert_same(came: TensorPart, expected: TensorPart) -> None:
    assert (came.shape, came.dtype, came.role) == (expected.shape, expected.dtype, expected.role)
    assert (came.counts is None) == (expected.counts is None)
    if came.counts is not None and expected.counts is not None:
        np.testing.assert_array_equal(came.counts.keys, expected.counts.keys)
        np.testing.assert_array_equal(came.counts.counts, expected.counts.counts)
    for kind in ("values", "sample", "full"):
        ours, theirs = getattr(came, kind), getattr(expected, kind)
        assert (ours is None) == (theirs is None), kind
        if ours is not None:
            np.testing.assert_array_equal(bits(ours).ravel(), bits(theirs).ravel())


def bits(values: Exact) -> np.ndarray:
    return np.ascontiguousarray(values.data).view(np.uint8)


def test_each_element_is_sent_once() -> None:
    """Also of what lies on every rank, and of shards with replicas."""
    layout = LAYOUTS["hybrid"]
    sizes: dict[str, int] = {}
    for tensors in parts_of(Weights(torch.float32), layout):
        for tensor in tensors:
            held = int(np.prod(tensor.local_shape))
            sizes[tensor.name] = sizes.get(tensor.name, 0) + held
    assert sizes == {"large": 151 * 129, "small": 61 * 67, "gain": 151, "row": 7}


def test_all_ranks_agree_on_the_largest_shard() -> None:
    largest = set()
    for rank in range(4):
        with as_rank(rank, 4):
            model = sharded(Weights(torch.float32), LAYOUTS["columns"])
            largest.add(shard_of(model.large, rank=rank).largest)
    assert largest == {151 * 33}


@pytest.mark.parametrize(
    ("placements", "rows", "told"),
    [
        ([Strided(0, sf=3), Shard(0)], 38, "strided over rows that are no block"),
        ([Strided(0, sf=2), Replicate()], 76, "strided over rows that are no block"),
        ([Shard(0), Partial()], 76, "placed as Partial"),
        ([Shard(0), Shard(0)], 37, "a shard of (37, 129) where (38, 129) was expected"),
    ],
)
def test_what_is_no_block_is_left_out_and_said_so(
    placements: list[Placement], rows: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Weights(torch.float32)
    with as_rank(0, 4):
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("strided", "rows"))
        large = DTensor.from_local(
            whole.large.detach()[:rows], mesh, placements, run_check=False,
            shape=whole.large.shape, stride=whole.large.stride(),
        )  # fmt: skip
        whole.large = nn.Parameter(large)
        tensors = sent(whole)
    assert [tensor.name for tensor in tensors] == ["small", "gain", "row"]
    assert f"a distributed tensor {told}: large" in caplog.text


def test_before_torch_told_of_strides_an_axis_cut_twice_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DTensor, "__module__", "torch.distributed._tensor.api")
    with as_rank(0, 4):
        model = sharded(Weights(torch.float32), LAYOUTS["rows and columns"])
        selection = select(model, sender=Sender(rank=0))
    assert [tensor.name for tensor in selection.tensors] == ["large", "gain", "row"]
    (reason,) = selection.left_out
    assert reason == "a distributed tensor cut twice along one axis: this torch tells no order"


def test_what_stands_gathered_is_not_read_wherever_torch_keeps_the_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with as_rank(0, 2):
        model = fully_shard(nn.Linear(6, 5))
        model.unshard()
        monkeypatch.delattr("torch.distributed.fsdp.FSDPModule")
        assert not isinstance(model.weight, DTensor)
        weight, _ = select(model, sender=Sender(rank=0)).tensors
    assert weight.placement == PiecePlacement(offset=(0, 0), local_shape=(3, 6))


def test_ranks_that_share_the_sending_send_everything_once_and_alike() -> None:
    whole = Weights(torch.float32)
    expected = {tensor.name: tensor for tensor in sent(whole)}
    by_rank = []
    for rank in range(3):
        with as_rank(rank, 3):
            by_rank.append(sent(whole, split=True))
    assert sorted(t.name for tensors in by_rank for t in tensors) == sorted(expected)
    for tensor in itertools.chain.from_iterable(by_rank):
        assert_same(tensor, expected[tensor.name])
    assert [[tensor.name for tensor in tensors] for tensors in by_rank] == [
        ["large"],
        ["small"],
        ["gain", "row"],
    ]


@pytest.mark.parametrize("rank", [0, 1])
def test_what_another_rank_sends_has_no_table_on_the_device(rank: int) -> None:
    tensors = select(Weights(torch.float32), sender=Sender(rank=rank, sharing=3)).tensors
    counts = DeviceCounts(tensors, device=torch.device("cpu"))
    assert counts.table_bytes == (4 * KEYS if rank == 0 else 0), "only one of them is large"


def test_without_sharing_one_rank_sends_everything() -> None:
    with as_rank(1, 3):
        monitor = bifurk.watch(nn.Linear(2, 2), torch.optim.SGD([torch.ones(1)], lr=1.0))
    assert "rank 0 posts" in repr(monitor)


def test_a_lost_rank_leaves_the_others_without_a_value() -> None:
    first, _, third = parts_of(Weights(torch.float32), LAYOUTS["uneven rows"])
    pieces = [t for tensors in (first, third) for t in tensors if t.name == "large"]
    assert assembled(pieces) == NoValue(f"{(151 - 51) * 129} of {151 * 129} elements came")


def test_replicas_count_once_and_overlaps_never() -> None:
    first, second, third = parts_of(Weights(torch.float32), LAYOUTS["uneven rows"])
    pieces = [t for tensors in (first, second, third) for t in tensors if t.name == "large"]
    doubled = assembled([*pieces, *pieces])
    assert isinstance(doubled, TensorPart)
    assert doubled.counts is not None
    assert doubled.counts.size == 151 * 129
    one, two, _ = pieces
    assert assembled([one, two, shifted(two)]) == NoValue("its shards overlap")


def shifted(piece: TensorPart) -> TensorPart:
    assert piece.placement is not None
    place = replace(piece.placement, offset=(piece.placement.offset[0] - 1, 0))
    return replace(piece, placement=place)
