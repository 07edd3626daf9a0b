"""Fused projections of real models: indices sent through each model's own split, as the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from bifurk.attention_heads import heads_of
from bifurk.packing import WHOLE, Packing, packing_of
from bifurk.selection import select

QUERY, KEY, VALUE = "attention.query", "attention.key", "attention.value"
WIDTH, HEADS, HEAD = 64, 4, 16
Index: TypeAlias = NDArray[np.int64]


class Conv1D(nn.Module):
    """GPT-2's linear layer: [inputs, outputs]."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))


def model(path: str, layer: nn.Module, kind: str = "Attention", **attributes: Any) -> nn.Module:
    """A model that has this layer at this path, in a module of this class and attributes.

    Attributes of ``root`` are the whole model's.
    """
    *outer, last = path.split(".")
    root = attributes.pop("root", {})
    owner: nn.Module = type(kind, (nn.Module,), {})()
    owner.add_module(last, layer)
    for name, value in attributes.items():
        setattr(owner, name, value)
    for name in reversed(outer):
        parent = nn.Module()
        parent.add_module(name, owner)
        owner = parent
    for name, value in root.items():
        setattr(owner, name, value)
    return owner


def packing_in(whole: nn.Module) -> Packing | None:
    [tensor] = [t for t in select(whole).tensors if len(t.shape) == 2]
    return tensor.packing


def indices(packing: Packing) -> dict[str, list[int]]:
    """Which rows or columns the packing gives to each role."""
    along = np.arange(packing.length)
    matrix = along[:, None] if packing.axis == 0 else along[None]
    return {role: piece.ravel().tolist() for role, piece in packing.split(matrix)}


def one_after_the_other(*sizes: int) -> tuple[Index, ...]:
    return tuple(np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]))


def by_group(groups: int, queries: int) -> tuple[Index, ...]:
    """Falcon's: view(groups, queries + 2, head) and its three parts."""
    view = np.arange(groups * (queries + 2) * HEAD).reshape(groups, queries + 2, HEAD)
    return view[:, :-2].ravel(), view[:, -2].ravel(), view[:, -1].ravel()


def by_head() -> tuple[Index, ...]:
    """NeoX's: view(heads, 3 * head) and a chunk in three."""
    view = np.arange(3 * WIDTH).reshape(HEADS, 3 * HEAD)
    return tuple(part.ravel() for part in np.split(view, 3, axis=-1))


def codegen() -> tuple[Index, ...]:
    """CodeGen's: reshape(4, -1), which it splits into query, value, key."""
    query, value, key = np.split(np.arange(3 * WIDTH).reshape(4, -1), 3, axis=-1)
    return query.ravel(), key.ravel(), value.ravel()


def linear(rows: int) -> nn.Module:
    return nn.Linear(WIDTH, rows)


def config(**fields: Any) -> Mapping[str, Any]:
    return {"config": SimpleNamespace(**fields)}


THIRDS = one_after_the_other(WIDTH, WIDTH, WIDTH)
MULTI_QUERY = one_after_the_other(WIDTH, HEAD, HEAD)
TWO_KEYS = one_after_the_other(WIDTH, 2 * HEAD, 2 * HEAD)
CASES = {
    "GPT-2": (
        model("h.0.attn.c_attn", Conv1D(3 * WIDTH, WIDTH), "GPT2Attention", num_heads=HEADS),
        THIRDS,
    ),
    "nanoGPT": (model("h.0.attn.c_attn", linear(3 * WIDTH), n_head=HEADS), THIRDS),
    "GPTBigCode, one key": (
        model("h.0.attn.c_attn", linear(96), "GPTBigCodeAttention", num_heads=4, kv_heads=1),
        MULTI_QUERY,
    ),
    "GPTBigCode, all keys": (
        model("h.0.attn.c_attn", linear(192), "GPTBigCodeAttention", num_heads=4, kv_heads=4),
        by_head(),
    ),
    "GPT-NeoX": (
        model(
            "layers.0.attention.query_key_value",
            linear(3 * WIDTH),
            "GPTNeoXAttention",
            **config(num_attention_heads=HEADS, hidden_size=WIDTH),
            head_size=HEAD,
        ),
        by_head(),
    ),
    "BLOOM in a model with fewer keys": (
        model(
            "vision.h.0.self_attention.query_key_value",
            linear(3 * WIDTH),
            num_heads=HEADS,
            root=config(num_attention_heads=8, num_key_value_heads=2),
        ),
        by_head(),
    ),
    "Falcon 7B": (
        model("h.0.self_attention.query_key_value", linear(96), num_heads=4, num_kv_heads=1),
        MULTI_QUERY,
    ),
    "Falcon 40B": (
        model("h.0.self_attention.query_key_value", linear(128), num_heads=4, num_kv_heads=2),
        by_group(2, 2),
    ),
    "Megatron": (
        model(
            "layers.0.self_attention.linear_qkv",
            linear(128),
            num_attention_heads_per_partition=4,
            num_query_groups_per_partition=2,
        ),
        by_group(2, 2),
    ),
    "InternLM2": (
        model(
            "layers.0.attention.wqkv",
            linear(128),
            "InternLM2Attention",
            num_heads=4,
            num_key_value_heads=2,
        ),
        by_group(2, 2),
    ),
    "Phi-3": (
        model(
            "layers.0.self_attn.qkv_proj",
            linear(128),
            "Phi3Attention",
            head_dim=HEAD,
            num_key_value_heads=2,
            **config(num_attention_heads=HEADS),
        ),
        TWO_KEYS,
    ),
    "Llama-style, heads not as wide as the model": (
        model("layers.0.self_attn.qkv_proj", linear(256), num_heads=4, num_kv_heads=2, head_dim=32),
        one_after_the_other(128, 64, 64),
    ),
    "MiniMax": (
        model(
            "layers.0.self_attn.qkv_proj",
            linear(3 * WIDTH),
            "MiniMaxLightningAttention",
            num_attention_heads=HEADS,
            **config(num_key_value_heads=2),
        ),
        by_head(),
    ),
    "CodeGen": (
        model("h.0.attn.qkv_proj", linear(192), "CodeGenAttention", num_attention_heads=HEADS),
        codegen(),
    ),
    "MPT": (model("blocks.0.attn.Wqkv", linear(3 * WIDTH), n_heads=HEADS), THIRDS),
    "DBRX": (
        model("blocks.0.attn.Wqkv", linear(128), num_heads=4, num_key_value_heads=2),
        TWO_KEYS,
    ),
    "DeBERTa": (
        model(
            "layer.0.attention.self.in_proj",
            linear(3 * WIDTH),
            "DisentangledSelfAttention",
            num_attention_heads=HEADS,
        ),
        by_head(),
    ),
    "ViT": (model("blocks.0.attn.qkv", linear(3 * WIDTH), num_heads=HEADS), THIRDS),
    "torch": (nn.MultiheadAttention(WIDTH, HEADS), None),
    "diffusers": (model("blocks.0.attn.to_qkv", linear(3 * 40), heads=HEADS), None),
}


@pytest.mark.parametrize("family", CASES)
def test_pieces_are_what_the_model_itself_takes_for_them(family: str) -> None:
    whole, expected = CASES[family]
    if family == "torch":
        whole = nn.ModuleDict({"self_attn": whole})
        whole["self_attn"].out_proj.weight.requires_grad_(False)
        expected = THIRDS
    if family == "diffusers":
        expected = one_after_the_other(40, 40, 40)
    packing = packing_in(whole)
    assert packing is not None
    assert expected is not None
    query, key, value = (part.tolist() for part in expected)
    assert indices(packing) == {QUERY: query, KEY: key, VALUE: value}


def test_tiny_vits_qkv_goes_head_by_head_although_its_class_is_just_attention() -> None:
    kinds = ("torch.nn.modules.linear.Linear", "timm.models.tiny_vit.Attention")
    packing = packing_of("blocks.0.attn.qkv.weight", (192, 64), heads=4, kinds=kinds)
    assert packing == Packing(0, 4, ((QUERY, HEAD), (KEY, HEAD), (VALUE, HEAD)))


def test_gpt_2s_cross_attention_has_keys_and_values_only() -> None:
    layer = Conv1D(2 * WIDTH, WIDTH)
    packing = packing_in(model("h.0.crossattention.c_attn", layer, num_heads=HEADS))
    assert packing == Packing(1, 1, ((KEY, WIDTH), (VALUE, WIDTH)))


def test_gate_and_up_are_halves_and_one_audio_tower_has_them_the_other_way_round() -> None:
    path = "layers.0.mlp.gate_up_proj"
    gate_first = packing_in(model(path, linear(96)))
    assert gate_first == Packing(0, 1, (("mlp.gate", 48), ("mlp.up", 48)))
    up_first = packing_in(model(path, linear(96), "Phi4MultimodalAudioMLP"))
    assert up_first == Packing(0, 1, (("mlp.up", 48), ("mlp.gate", 48)))


@pytest.mark.parametrize(
    ("path", "rows", "kind", "attributes"),
    [
        ("layers.0.attention.query_key_value", 192, "Attention", {}),
        ("layers.0.attention.query_key_value", 192, "Attention", {"num_heads": 7}),
        ("layers.0.attention.query_key_value", 192, "ChatGLMAttention", {"num_heads": 4}),
        ("layers.0.attention.wqkv", 128, "Attention", {"num_heads": 4, "num_kv_heads": 2}),
        ("layers.0.conv.in_proj", 192, "ShortConv", {"num_heads": 4}),
        ("layers.0.self_attn.qkv_proj", 96, "Attention", {}),
        ("layers.0.self_attn.qkv_proj", 192, "Attention", {"num_heads": 4, "num_kv_heads": 3}),
        ("layers.0.attn.c_proj", 192, "Attention", {"num_heads": 4}),
        ("layers.0.attn.qkv.lora_B.default", 192, "Attention", {"num_heads": 4}),
        ("layers.0.mlp.gate_up_proj", 95, "MLP", {}),
    ],
)
def test_no_split_rather_than_a_wrong_one(
    path: str, rows: int, kind: str, attributes: dict[str, Any]
) -> None:
    assert packing_in(model(path, linear(rows), kind, **attributes)) in (None, WHOLE)


def test_the_shard_of_a_tensor_parallel_layer_is_not_taken_for_the_whole() -> None:
    attributes = {"num_heads": 8, "num_kv_heads": 2, "head_dim": HEAD}
    shard = model("layers.0.self_attn.qkv_proj", linear(96), **attributes)
    assert packing_in(shard) is None


def test_what_the_name_alone_would_split_is_told_to_be_whole_where_the_module_objects() -> None:
    objecting = model("blocks.0.attn.qkv", linear(192), "AttentionCl", num_heads=4)
    assert packing_of("blocks.0.attn.qkv.weight", (192, 64)) is not None
    assert packing_in(objecting) is WHOLE


def test_codegens_name_alone_is_not_enough() -> None:
    assert packing_of("transformer.h.0.attn.qkv_proj.weight", (192, 64)) is None
    assert packing_of("model.layers.0.self_attn.qkv_proj.weight", (192, 64)) is not None


def test_adapters_and_wrappers_hide_nothing() -> None:
    adapted = model("module.h.0.attn.c_attn.base_layer", Conv1D(192, 64), num_heads=4)
    assert packing_in(adapted) == Packing(1, 1, ((QUERY, 64), (KEY, 64), (VALUE, 64)))


def test_nothing_is_taken_from_farther_out_than_the_heads() -> None:
    whole = model("tower.attn.qkv", linear(192), num_heads=4, root={"num_kv_heads": 2})
    heads = heads_of(whole, "tower.attn.qkv.weight")
    assert (heads.heads, heads.kv_heads, heads.head_dim) == (4, None, None)
    assert [kind.rpartition(".")[2] for kind in heads.kinds] == [
        "Linear",
        "Attention",
        "Module",
        "Module",
    ]
