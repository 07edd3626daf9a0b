"""Where a parameter sits in its model: which block, and what it does there, by its name.

Names are all there is to go by, so families are recognised by the words they use; what is
not recognised is ``other``, and the user's own globs come first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

ROLES: Final = (
    "attention.qkv",
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.output",
    "mlp.up",
    "mlp.gate",
    "mlp.down",
    "norm",
    "embedding",
    "unembedding",
    "bias",
    "conv",
    "other",
)
"""Every role there is. A bias is ``bias`` wherever it sits; ``norm`` are the gains alone."""

STAGE_STRIDE: Final = 100
"""Block b of stage s is layer 100 s + b: no known network has a hundred blocks in one stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a parameter sits.

    Attributes:
        layer: index of the repeated block as its name has it, or None outside of any.
        role: one of ``ROLES``.
    """

    layer: int | None
    role: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role must be one of {', '.join(ROLES)}, got {self.role!r}")


def layout_of(
    name: str, shape: tuple[int, ...], *, roles: Mapping[str, str] | None = None
) -> Layout:
    """Reads layer and role from a parameter's name and shape.

    The layer is the first number in the dotted path, as the name counts: encoder and decoder
    blocks of one number share it. Networks in numbered stages (ResNet's ``layer2.1``, Swin's
    ``layers.2.blocks.1``) have layer 100 x stage + block. Numbers inside heads
    (``classifier.6``) are no layers. A one-dimensional ``weight`` without another sign is taken
    for a norm's gain.

    >>> layout_of("module.h.3.attn.c_attn.weight", (768, 2304))
    Layout(layer=3, role='attention.qkv')

    Args:
        name: the parameter's name; wrappers may still be in it.
        shape: of the whole parameter.
        roles: the user's own, from a glob over the stripped name to a role; ``*`` also matches
            dots; the first match wins over everything else.

    Raises:
        ValueError: a matching glob names a role that is none of ``ROLES``.
    """
    bare = strip_wrappers(name)
    path = bare.lower().split(".")
    layer, start = _layer(path)
    chosen = next((role for glob, role in (roles or {}).items() if fnmatchcase(bare, glob)), None)
    return Layout(layer=layer, role=chosen or _role(path, start, layer, shape))


def strip_wrappers(name: str) -> str:
    """The parameter's name as the bare model has it, without what wrapping modules put in.

    >>> strip_wrappers("_orig_mod.module.h.0._checkpoint_wrapped_module.ln_1.weight")
    'h.0.ln_1.weight'
    """
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


_WRAPPERS: Final = frozenset(
    {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
)

_STAGE: Final = re.compile(r"(?:layer|stage|denseblock)_?([0-9]{1,6})")
_STAGE_CONTAINERS: Final = frozenset({"stages", "features"})
_BLOCK: Final = re.compile(r"(?:\w*(?:layer|block)s?_?|h_)?([0-9]{1,6})")
_NO_BLOCKS: Final = re.compile(r"(?:\w+_)?heads?|classifier|\w*experts|downsample\w*")

_BIAS: Final = re.compile(r"bias|\w+_bias|bias_\w+")
_NORM: Final = re.compile(r"\w*norm\w*|ln(?:_?(?:[0-9]+|f|final|pre|post|q|k))?|[bg]n[0-9]*|\w+_ln")
_GAINS: Final = frozenset({"gamma", "scale", "gain"})
_EMBEDDING: Final = re.compile(
    r"(?!un)\w*embed(?:ding|der)?s?(?:_\w+)?|(?:\w+_)?emb|wte|wpe|shared"
    r"|(?:cls|class|dist|distillation|mask|reg|register)_tokens?"
)
_SURE_LAST: Final = frozenset({"lm_head", "embed_out", "unembed", "unembedding", "to_logits"})
_LAST: Final = re.compile(
    r"head|\w+_head|classifier|fc|output|out|logits|readout|score|decoder|proj_out|out_proj"
    r"|qa_outputs|output_(?:projection|layer|proj)"
)

_ATTENTION: Final = re.compile(r"\w*att(?:n|ention)\w*|mha")
_MLP: Final = re.compile(r"\w*mlp\w*|\w*ffn?|feed_?forward|\w*moe\w*|\w*experts?|densereludense")

_Words = Mapping[str, frozenset[str]]

_ANYWHERE: Final[_Words] = {
    "attention.qkv": frozenset(
        {
            "c_attn",
            "qkv",
            "qkv_proj",
            "query_key_value",
            "wqkv",
            "to_qkv",
            "linear_qkv",
            "in_proj_weight",
        }
    ),
    "attention.query": frozenset({"q_proj", "query_proj", "q_lin", "wq", "to_q", "q_proj_weight"}),
    "attention.key": frozenset({"k_proj", "key_proj", "k_lin", "wk", "to_k", "k_proj_weight"}),
    "attention.value": frozenset({"v_proj", "value_proj", "v_lin", "wv", "to_v", "v_proj_weight"}),
    "attention.output": frozenset({"o_proj", "to_out"}),
    "mlp.up": frozenset({"up_proj", "c_fc", "dense_h_to_4h", "gate_up_proj", "wi", "wi_1"}),
    "mlp.gate": frozenset({"gate_proj", "wi_0"}),
    "mlp.down": frozenset({"down_proj", "dense_4h_to_h"}),
}
_IN_ATTENTION: Final[_Words] = {
    "attention.qkv": frozenset({"in_proj"}),
    "attention.query": frozenset({"query", "q", "queries"}),
    "attention.key": frozenset({"key", "k", "keys"}),
    "attention.value": frozenset({"value", "v", "values"}),
    "attention.output": frozenset(
        {"output", "out", "o", "wo", "out_proj", "c_proj", "proj", "dense", "out_lin"}
    ),
}
_IN_MLP: Final[_Words] = {
    "mlp.up": frozenset(
        {"up", "fc1", "fc_in", "lin1", "linear1", "linear_1", "w3", "intermediate"}
    ),
    "mlp.gate": frozenset({"gate", "w1"}),
    "mlp.down": frozenset(
        {"down", "c_proj", "fc2", "fc_out", "lin2", "linear2", "linear_2", "w2", "wo", "output"}
    ),
}
_IN_BLOCK: Final[_Words] = {
    "mlp.up": frozenset({"intermediate", "fc1", "linear1"}),
    "mlp.down": frozenset({"output", "fc2", "linear2"}),
}


def _layer(path: Sequence[str]) -> tuple[int | None, int]:
    """The layer, and where in the path the block's own words begin."""
    for index, part in enumerate(path):
        container = path[index - 1] if index else ""
        stage, block = _STAGE.fullmatch(part), _BLOCK.fullmatch(part)
        if block is None or (part.isdigit() and _NO_BLOCKS.fullmatch(container)):
            continue
        following = path[index + 1 : index + 3]
        staged = stage is not None or container in _STAGE_CONTAINERS
        if following[:1] == ["blocks"]:
            following, skipped, staged = following[1:], 2, True
        else:
            skipped = 1
        inner = _BLOCK.fullmatch(following[0]) if staged and following else None
        if inner is not None:
            return STAGE_STRIDE * int(block[1]) + int(inner[1]), index + skipped + 1
        return int(block[1]), index + 1
    return None, 0


def _role(path: list[str], start: int, layer: int | None, shape: tuple[int, ...]) -> str:
    leaf = path[-1]
    words = path[:-1] if leaf in {"weight", "kernel"} else path
    owner = words[-1] if words else ""
    in_norm = _NORM.fullmatch(path[-2] if len(path) > 1 else "") is not None
    if _BIAS.fullmatch(leaf) or (leaf == "beta" and in_norm):
        return "bias"
    if _NORM.fullmatch(owner) or (leaf in _GAINS and in_norm):
        return "norm"
    if owner in _SURE_LAST:
        return "unembedding"
    # Inside a block only the parameter's own module counts: a model may be named for embedding.
    if any(map(_EMBEDDING.fullmatch, words[-1:] if layer is not None else words[-2:])):
        return "embedding"
    return (
        _block_role(words[start:], in_block=layer is not None, shape=shape)
        or (_LAST.fullmatch(owner) and layer is None and len(shape) == 2 and "unembedding")
        or _role_by_shape(leaf, shape)
    )


def _block_role(words: Sequence[str], *, in_block: bool, shape: tuple[int, ...]) -> str | None:
    """From the last word outwards, so that adapters and wrapped layers keep their layer's role."""
    for position in reversed(range(len(words))):
        word, context = words[position], _context(words[:position])
        tables = [_ANYWHERE]
        if context is not None:
            tables.append(context)
        elif in_block:
            tables.append(_IN_BLOCK)
        role = next((r for table in tables for r, known in table.items() if word in known), None)
        if role == "mlp.gate" and word == "gate" and len(shape) == 2 and shape[0] < shape[1]:
            return "other"  # a router: fewer experts than inputs
        if role is None and context is _IN_MLP and word.isdigit() and len(shape) == 2:
            # Layers of an nn.Sequential have only numbers; torch stores [outputs, inputs].
            role = "mlp.up" if shape[0] > shape[1] else "mlp.down" if shape[0] < shape[1] else None
        if role is not None:
            return role
    return None


def _context(words: Sequence[str]) -> _Words | None:
    """What the nearest enclosing word says: words for attention, for a feed-forward, or none."""
    for word in reversed(words):
        if _ATTENTION.fullmatch(word):
            return _IN_ATTENTION
        if _MLP.fullmatch(word):
            return _IN_MLP
    return None


def _role_by_shape(leaf: str, shape: tuple[int, ...]) -> str:
    if leaf.startswith("weight") and len(shape) >= 3:
        return "conv"
    if leaf == "weight" and len(shape) == 1:
        return "norm"
    return "other"
