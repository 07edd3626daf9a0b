"""Pieces of a fused tensor: listed, with statistics and spectra; their values are the whole's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.api.filling import Caller
from tests.parts import make_part, make_tensor

WIDTH = 32
FUSED = "transformer.h.0.attn.c_attn.weight"
SCALES = {"query": 1.0, "key": 2.0, "value": 3.0}
"""GPT-2 stores queries, keys and values side by side, [width, 3 width]."""


def projection(piece: str) -> Any:
    rng = np.random.default_rng(list(SCALES).index(piece))
    return (SCALES[piece] * rng.standard_normal((WIDTH, WIDTH))).astype(np.float32)


@pytest.fixture(scope="module")
def fused(anyone: Caller) -> tuple[str, dict[str, Any]]:
    """The path of a run with one fused tensor, and its tensors by name."""
    fused = make_tensor(FUSED, np.concatenate([projection(piece) for piece in SCALES], axis=1))
    part = replace(
        make_part(0, project="pieces", run="gpt"),
        tensors=(replace(fused, role="attention.qkv", layer=0),),
    )
    anyone.post_part(part)
    run = anyone.run_id("pieces", "gpt")
    anyone.wait_until_judged(run, 1)
    path = f"/api/v1/runs/{run}"
    return path, {one["name"]: one for one in anyone.get(f"{path}/tensors")["items"]}


def test_pieces_are_listed_with_their_whole(fused: tuple[str, dict[str, Any]]) -> None:
    _, tensors = fused
    assert tensors[FUSED]["piece_of"] is None
    for piece in SCALES:
        one = tensors[f"{FUSED}[{piece}]"]
        assert one["piece_of"] == tensors[FUSED]["id"]
        assert (one["role"], one["shape"]) == (f"attention.{piece}", [WIDTH, WIDTH])


@pytest.mark.parametrize("piece", SCALES)
def test_pieces_have_statistics_and_spectra(
    anyone: Caller, fused: tuple[str, dict[str, Any]], piece: str
) -> None:
    path, tensors = fused
    base = f"{path}/tensors/{tensors[f'{FUSED}[{piece}]']['id']}"
    values = projection(piece).astype(np.float64)
    assert anyone.get(f"{base}/statistics")["values"]["std"] == pytest.approx(values.std())
    found = anyone.get(f"{base}/spectrum")["singular_values"]
    assert found == pytest.approx(np.linalg.svd(values, compute_uv=False), rel=1e-6)


@pytest.mark.parametrize("what", ["distribution", "quantiles", "probability", "draws"])
def test_values_of_a_piece_are_asked_of_the_whole(
    anyone: Caller, fused: tuple[str, dict[str, Any]], what: str
) -> None:
    path, tensors = fused
    status, problem = anyone.request(
        "GET", f"{path}/tensors/{tensors[f'{FUSED}[key]']['id']}/{what}"
    )
    assert status == 404
    assert f"ask for tensor {tensors[FUSED]['id']}" in problem["detail"]
    assert anyone.request("GET", f"{path}/tensors/{tensors[FUSED]['id']}/{what}")[0] == 200


def test_a_pool_counts_every_value_once(anyone: Caller, fused: tuple[str, dict[str, Any]]) -> None:
    path, tensors = fused
    answer = anyone.get(f"{path}/pooled?layer=0")
    assert [tensor["name"] for tensor in answer["tensors"]] == [FUSED]
    assert answer["values"]["count"] == 3 * WIDTH**2
    status, problem = anyone.request("GET", f"{path}/pooled?role=attention.query")
    assert (status, problem["where"]) == (404, "tensor")
    assert f"ask for tensors {tensors[FUSED]['id']}" in problem["detail"]


def test_a_profile_sees_the_pieces(anyone: Caller, fused: tuple[str, dict[str, Any]]) -> None:
    path, _ = fused
    roles = {one["role"]: one["values"] for one in anyone.get(f"{path}/profile")["depth"]}
    assert set(roles) == {"attention.qkv", *(f"attention.{piece}" for piece in SCALES)}
    assert roles["attention.value"] == pytest.approx([projection("value").std(dtype=np.float64)])
