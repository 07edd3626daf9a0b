"""A tensor's packing on the wire: told, read back, and never believed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifurk.exact import Exact
from bifurk.packing import WHOLE, Packing, parse_packing
from bifurk.wire import Manifest, Part, Placement, TensorPart, WireError, decode, encode
from tests.wire.forge import forge, refused

SHAPE = (12, 4)
PLAIN = TensorPart(
    name="w",
    shape=SHAPE,
    dtype="float32",
    values=Exact(dtype="float32", data=np.zeros(48, dtype=np.float32)),
)
PACKED = replace(PLAIN, packing=parse_packing("2*(query,key,value)", SHAPE))


def part(tensor: TensorPart) -> Part:
    manifest = Manifest(project="p", run="r", attempt="a", step=0, sequence=0)
    return Part(manifest=manifest, tensors=(tensor,))


def forged(packing: Any) -> bytes:
    return forge(part(PACKED), manifest=lambda m: m["tensors"][0].update(packing=packing))


def received(tensor: TensorPart) -> Packing | None:
    return decode(encode(part(tensor))).tensors[0].packing


def test_a_packing_comes_back() -> None:
    assert received(PACKED) == PACKED.packing


def test_nothing_said_and_one_projection_are_two_things() -> None:
    assert received(PLAIN) is None
    assert received(replace(PLAIN, packing=WHOLE)) == WHOLE
    assert decode(forged(None), encoding="identity").tensors[0].packing is None


def test_a_shard_carries_the_packing_of_the_whole() -> None:
    placement = Placement(offset=(12, 0), local_shape=SHAPE)
    whole = parse_packing("query,key,value", (24, 4))
    shard = replace(PLAIN, shape=(24, 4), placement=placement, packing=whole)
    assert received(shard) == whole


def test_roles_of_later_minors_are_read() -> None:
    told = decode(forged("attention.latent=8,mlp.router=4@axis0"), encoding="identity")
    assert told.tensors[0].packing == Packing(0, 1, (("attention.latent", 8), ("mlp.router", 4)))


@pytest.mark.parametrize(
    ("packing", "problem"),
    [
        (["query"], "text of at most 512"),
        (3, "text of at most 512"),
        ({"axis": 0}, "text of at most 512"),
        ("q" * 513, "text of at most 512"),
        ("", "role=size,role=size@axis0 or none"),
        ("query,key", "role=size,role=size@axis0 or none"),
        ("a=6,b=6", "role=size,role=size@axis0 or none"),
        ("a=6, b=6@axis0", "role=size,role=size@axis0 or none"),
        ("a=06,b=6@axis0", "role=size,role=size@axis0 or none"),
        ("a=-6,b=18@axis0", "role=size,role=size@axis0 or none"),
        ("a=\u0666,b=6@axis0", "role=size,role=size@axis0 or none"),
        ("a=6,b=6@axis2", "role=size,role=size@axis0 or none"),
        ("../../etc=6,b=6@axis0", "role=size,role=size@axis0 or none"),
        ("1*(a=6,b=6)@axis0", "expected 'a=6,b=6@axis0'"),
        ("a=12@axis0", "2 to 8 pieces"),
        (",".join(f"r{i}=1" for i in range(9)) + "@axis0", "2 to 8 pieces"),
        (",".join(f"r{i}=1" for i in range(12)) + "@axis0", "role=size,role=size@axis0 or none"),
        ("a=6,a=6@axis0", "each role once"),
        ("a" * 33 + "=6,b=6@axis0", "expected a role"),
        ("a=6,b=5@axis0", "pieces of 12 in all along axis 0 of [12, 4], got 11"),
        ("a=6,b=6@axis1", "pieces of 4 in all along axis 1 of [12, 4], got 12"),
        ("999999999999999*(a=999999999999999,b=1)@axis0", "pieces of 12 in all"),
        ("9999999999999999*(a=1,b=1)@axis0", "role=size,role=size@axis0 or none"),
        ("a=6\nb=6@axis0", "without control characters"),
    ],
)
def test_a_packing_that_lies_is_refused_by_name(packing: Any, problem: str) -> None:
    error = refused(forged(packing))
    assert error.where == "manifest.tensors[0].packing"
    assert problem in error.problem
    assert len(error.problem) < 300


@pytest.mark.parametrize("shape", [[48], [3, 4, 4]])
def test_only_matrices_are_packed(shape: list[int]) -> None:
    def reshape(document: dict[str, Any]) -> None:
        document["tensors"][0].update(shape=shape, packing="a=24,b=24@axis0")

    error = refused(forge(part(PACKED), manifest=reshape))
    assert error.where == "manifest.tensors[0].packing"
    assert "a packing is of a matrix" in error.problem


alphabet = st.sampled_from([*"aq.=,@()* 0129", "axis", "axis0", "none", "attention.query"])


@given(st.text(max_size=600) | st.lists(alphabet, max_size=40).map("".join))
def test_any_text_is_a_packing_of_the_matrix_or_refused(text: str) -> None:
    try:
        [tensor] = decode(forged(text), encoding="identity").tensors
    except WireError:
        return
    assert tensor.packing is not None
    tensor.packing.check_shape(SHAPE)
    assert str(tensor.packing) == text
