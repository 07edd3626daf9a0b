"""How a matrix is packed, told by a person or over the wire, and taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import bifurk
from bifurk.attention_heads import heads_of
from bifurk.config import WatchConfig
from bifurk.configure import resolve
from bifurk.layout import ROLES
from bifurk.packing import (
    MOST_CHARACTERS,
    MOST_PIECES,
    WHOLE,
    Packing,
    packing_of,
    parse_packing,
    read_packing,
)
from bifurk.selection import select
from bifurk.testing import InMemoryTransport

QUERY, KEY, VALUE = "attention.query", "attention.key", "attention.value"
GROUPED = Packing(axis=0, groups=2, pieces=((QUERY, 2), (KEY, 1)))


@st.composite
def packings(draw: st.DrawFn) -> Packing:
    roles = draw(st.lists(st.sampled_from(ROLES), min_size=2, max_size=MOST_PIECES, unique=True))
    sizes = [draw(st.integers(1, 5)) for _ in roles]
    return Packing(
        axis=draw(st.integers(0, 1)),
        groups=draw(st.integers(1, 4)),
        pieces=tuple(zip(roles, sizes, strict=True)),
    )


def shape_for(packing: Packing, other: int) -> tuple[int, int]:
    return (packing.length, other) if packing.axis == 0 else (other, packing.length)


@given(packing=packings(), other=st.integers(1, 6))
def test_what_was_split_goes_together_again(packing: Packing, other: int) -> None:
    shape = shape_for(packing, other)
    matrix = np.arange(packing.length * other).reshape(shape)
    pieces = packing.split(matrix)
    assert [role for role, _ in pieces] == list(packing.roles)
    assert all(piece.shape == packing.shape_of(role, shape) for role, piece in pieces)

    again = np.full(shape, -1)
    begin = np.arange(packing.groups) * (packing.length // packing.groups)
    for (_, piece), (_, size) in zip(pieces, packing.pieces, strict=True):
        places = (begin[:, None] + np.arange(size)).ravel()
        again[(places, slice(None)) if packing.axis == 0 else (slice(None), places)] = piece
        begin += size
    np.testing.assert_array_equal(again, matrix)


@given(packing=packings(), other=st.integers(1, 6))
def test_what_is_written_reads_back(packing: Packing, other: int) -> None:
    shape = shape_for(packing, other)
    assert read_packing(str(packing), shape) == packing
    assert parse_packing(str(packing), shape) == packing
    assert len(str(packing)) <= MOST_CHARACTERS


def test_the_longest_packing_there_can_be_is_within_the_limit() -> None:
    pieces = tuple((f"{letter * 32}", 10**15 - 1) for letter in "abcdefgh")
    assert len(str(Packing(axis=1, groups=10**15 - 1, pieces=pieces))) <= MOST_CHARACTERS


def test_pieces_in_one_block_are_views() -> None:
    matrix = np.zeros((6, 9))
    for packing in (
        Packing(axis=0, groups=1, pieces=((QUERY, 4), (KEY, 2))),
        Packing(axis=1, groups=1, pieces=((QUERY, 7), (KEY, 2))),
    ):
        assert all(np.shares_memory(piece, matrix) for _, piece in packing.split(matrix))


def test_a_matrix_of_another_length_is_not_split() -> None:
    with pytest.raises(ValueError, match=r"expected pieces of 5 .* axis 0 of \[5, 3\], got 6"):
        GROUPED.split(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="a packing is of a matrix"):
        GROUPED.split(np.zeros(6))
    with pytest.raises(ValueError, match="role must be one of attention"):
        GROUPED.shape_of(VALUE, (6, 3))


def test_what_is_whole_has_no_pieces() -> None:
    assert WHOLE.split(np.zeros((3, 3))) == []
    assert (str(WHOLE), WHOLE.length, read_packing("none", (3,))) == ("none", 0, WHOLE)


@pytest.mark.parametrize(
    ("axis", "groups", "pieces"),
    [
        (2, 1, ((QUERY, 1), (KEY, 1))),
        (True, 1, ((QUERY, 1), (KEY, 1))),
        (0, 0, ((QUERY, 1), (KEY, 1))),
        (0, 1.0, ((QUERY, 1), (KEY, 1))),
        (0, 1, ((QUERY, 1),)),
        (0, 1, ((QUERY, 1), (QUERY, 1))),
        (0, 1, ((QUERY, 0), (KEY, 1))),
        (0, 1, ((QUERY, 1), ("key!", 1))),
        (0, 1, ((QUERY, 1), ("k" * 33, 1))),
        (0, 1, tuple((f"r{index}", 1) for index in range(MOST_PIECES + 1))),
        (1, 1, ()),
    ],
)
def test_no_impossible_packing_is_made(axis: Any, groups: Any, pieces: Any) -> None:
    with pytest.raises(ValueError, match=r"axis|groups|pieces|role|size"):
        Packing(axis=axis, groups=groups, pieces=pieces)


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        ("query,key,value", (12, 5), "attention.query=4,attention.key=4,attention.value=4@axis0"),
        ("query,key,value", (5, 12), "attention.query=4,attention.key=4,attention.value=4@axis1"),
        ("query, key", (6, 6), "attention.query=3,attention.key=3@axis0"),
        ("query,key @axis1", (6, 6), "attention.query=3,attention.key=3@axis1"),
        ("2 * (key, query)", (12, 5), "2*(attention.key=3,attention.query=3)@axis0"),
        ("query=4,key=1", (12, 5), "attention.query=4,attention.key=1@axis1"),
        ("mlp.gate,up", (4, 4), "mlp.gate=2,mlp.up=2@axis0"),
        ("none", (4, 4), "none"),
        (" ", (4, 4), "none"),
    ],
)
def test_people_may_write_less(text: str, shape: tuple[int, int], expected: str) -> None:
    assert str(parse_packing(text, shape)) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("query", "2 to 8 different roles"),
        ("query,query", "2 to 8 different roles"),
        ("query,keys", "no role 'keys'; did you mean 'key'"),
        ("q,k,v", "no role 'q'; did you mean 'query'"),
        ("attention.qurey,key", "did you mean 'attention.query'"),
        ("@#$", "expected query,key,value or"),
        ("zzz,key", "expected roles, as in query,key,value"),
        ("query=5,key=8", "expected pieces of 12 in all along axis 0"),
        ("query=4,key=1,value=1", "make 6 of 12; did you mean attention.query=8,attention.key=2"),
        ("query=5,key", "a size of at least 1 for every role or none"),
        ("query=0,key=12", "a size of at least 1 for every role or none"),
        ("7*(query,key)", "which 14 equal pieces do not fill"),
        ("query,key@axis2", "expected query,key,value or"),
        ("query;key", "no role 'query;key'"),
        ("0*(query,key)", "expected query,key,value or"),
        ("12*(query,key", "expected query,key,value or"),
        ("," * 200, "expected roles"),
        ("query," * 200, "expected query,key,value or"),
        ("query=" + "9" * 300, "different roles"),
    ],
)
def test_a_wrong_packing_says_what_would_be_right(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")) as caught:
        parse_packing(text, (12, 12))
    assert len(str(caught.value)) < 400


def test_the_users_word_wins() -> None:
    told = {"*.c_attn.weight": "none", "*.fused.*": "2*(key,query)@axis1", "*": "query,key"}
    assert packing_of("module.h.0.attn.c_attn.weight", (768, 2304), packings=told) is WHOLE
    fused = packing_of("a.fused.weight", (5, 12), packings=told)
    assert fused == Packing(1, 2, ((KEY, 3), (QUERY, 3)))
    assert packing_of("a.fused.bias", (12,), packings=told) is None
    assert packing_of("h.0.attn.c_attn.weight", (768, 2304), packings={"x": "none"}) is not None


def small_model(**attributes: Any) -> nn.Module:
    model = nn.Module()
    model.attention = nn.Module()
    model.attention.query_key_value = nn.Linear(48, 144, bias=False)
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def test_what_the_module_knows_and_what_the_user_says_reach_the_selection() -> None:
    model = small_model(num_heads=4)
    [known] = select(model).tensors
    [told] = select(model, packings={"*": "none"}).tensors
    assert str(known.packing) == "4*(attention.query=12,attention.key=12,attention.value=12)@axis0"
    assert told.packing is WHOLE


def test_attributes_that_raise_or_are_no_numbers_are_none() -> None:
    class Explosive(nn.Module):
        @property
        def num_heads(self) -> int:
            raise RuntimeError("boom")

        @property
        def config(self) -> object:
            raise ValueError("boom")

    assert heads_of(Explosive(), "no.such.thing").heads is None
    for value in (True, 4.0, "4", 0, -1, 1 << 40, None):
        assert heads_of(small_model(num_heads=value), "attention.query_key_value.weight")[:3] == (
            None,
            None,
            None,
        )


def test_a_packing_that_cannot_be_read_is_refused_at_watch() -> None:
    with pytest.raises(ValueError, match=r"packing of '\*': there is no role 'query\+key'"):
        WatchConfig(packing={"*": "query+key,value"})
    for wrong in ({"*": 3}, {3: "query,key"}, "query,key", ["query"]):
        with pytest.raises(TypeError, match="packing must map globs to texts"):
            WatchConfig(packing=wrong)  # type: ignore[arg-type]


def watched(model: nn.Module, packing: dict[str, str], spool: Path) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    transport = InMemoryTransport()
    monitor = bifurk.watch(
        model, optimizer, packing=packing, transport=transport, spool_dir=spool, every=1
    )
    return monitor, optimizer, transport


def test_a_packing_that_does_not_fit_is_refused_at_watch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"packing of weight: .* 3 equal pieces do not fill"):
        watched(nn.Linear(5, 7), {"weight": "query,key,value"}, tmp_path)


def test_a_packing_that_no_longer_fits_keeps_no_snapshot_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = nn.Linear(5, 6)
    monitor, optimizer, transport = watched(model, {"weight": "query,key"}, tmp_path)

    def step() -> None:
        model(torch.ones(1, 5)).sum().backward()
        optimizer.step()

    with monitor:
        step()
        model.weight = nn.Parameter(torch.ones(7, 5))
        model.bias = nn.Parameter(torch.ones(7))
        optimizer.param_groups[0]["params"] = list(model.parameters())
        step()
    told = [part.tensors[0].packing for part in transport.parts()]
    assert str(told[0]) == "attention.query=3,attention.key=3@axis0"
    assert told[-1] is None
    assert "packing of weight: " in caplog.text


def test_the_environment_keeps_globs_apart_by_semicolons() -> None:
    text = "*.qkv.weight: query,key,value ; *.w: 4*(query=2,key=2)@axis1"
    config = resolve({}, environ={"BIFURK_PACKING": text})
    assert config.packing == {"*.qkv.weight": "query,key,value", "*.w": "4*(query=2,key=2)@axis1"}
    with pytest.raises(ValueError, match="expected glob:packing"):
        resolve({}, environ={"BIFURK_PACKING": "*.w"})
