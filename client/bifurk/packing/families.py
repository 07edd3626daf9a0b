"""What is known of fused projections by their names, and of the models that pack them otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from bifurk.layout import strip_wrappers
from bifurk.packing.text import parse_packing
from bifurk.packing.value import Packing

QUERY: Final = "attention.query"
KEY: Final = "attention.key"
VALUE: Final = "attention.value"


def packing_of(
    name: str,
    shape: tuple[int, ...],
    *,
    heads: int | None = None,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    kinds: tuple[str, ...] = (),
    packings: Mapping[str, str] | None = None,
) -> Packing | None:
    """How a parameter is packed: the user's word, else what is known; None where it is not.

    >>> str(packing_of("h.0.attn.c_attn.weight", (768, 2304)))
    'attention.query=768,attention.key=768,attention.value=768@axis1'

    Args:
        name: the parameter's name; wrappers may still be in it.
        shape: of the whole parameter; only matrices are packed.
        heads, kv_heads: of the attention it belongs to, where known.
        head_dim: rows or columns a head takes, where known.
        kinds: full class names of the modules around it; empty where none was seen.
        packings: the user's own, from a glob over the stripped name to the text of a packing;
            ``none`` gives ``WHOLE``. The first match wins over everything else.

    Raises:
        ValueError: the user's packing cannot be read or does not fit the shape.
    """
    if len(shape) != 2:
        return None
    bare = strip_wrappers(name)
    for glob, text in (packings or {}).items():
        if fnmatchcase(bare, glob):
            return parse_packing(text, shape)
    owner = _Owner(heads=heads, kv_heads=kv_heads, head_dim=head_dim, kinds=kinds)
    return _known(bare, shape, owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """What the modules around a parameter say of its attention."""

    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    kinds: tuple[str, ...]

    @property
    def shares_keys(self) -> bool:
        """Whether several heads are said to have one key."""
        return self.kv_heads is not None and self.kv_heads != self.heads


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """The packed axis, [length], beside the other one, [width], and where they belong."""

    length: int
    width: int
    owner: _Owner
    path: list[str]


_Blocks: TypeAlias = tuple[int, tuple[tuple[str, int], ...]]
_Scheme: TypeAlias = Callable[[_Axis], _Blocks | None]


def _known(name: str, shape: tuple[int, ...], owner: _Owner) -> Packing | None:
    path = name.split(".")
    word = _word(path)
    scheme = _scheme(word, owner)
    found = []
    # GPT-2's Conv1D keeps [inputs, outputs]; everything else is nn.Linear, [outputs, inputs].
    for axis in (0, 1) if word == "c_attn" else (0,):
        blocks = scheme(
            _Axis(length=shape[axis], width=shape[1 - axis], owner=owner, path=path[:-1])
        )
        if blocks is not None:
            found.append(Packing(axis=axis, groups=blocks[0], pieces=blocks[1]))
    return found[0] if len(found) == 1 else None


def _word(path: list[str]) -> str:
    """The name of the fused layer: of the parameter's own module, adapters looked through."""
    words = path[:-1] if path[-1] == "weight" else path
    if len(words) > 1 and words[-1] == "base_layer":
        words = words[:-1]
    return words[-1] if words else ""


def _scheme(word: str, owner: _Owner) -> _Scheme:
    for words, kind, scheme in _OTHERWISE:
        if word in words and any(kind.search(name) for name in owner.kinds):
            return scheme
    return _SCHEMES.get(word, _not_known)


def _not_known(_: _Axis) -> None:
    return None


def _one_after_the_other(axis: _Axis) -> _Blocks | None:
    """All queries, all keys, all values; the latter two fewer where the owner says: Llama."""
    heads = _heads(axis)
    if heads is not None:
        number, kv_number, size = heads
        return _qkv(1, number * size, kv_number * size)
    if axis.owner.shares_keys or axis.length != 3 * axis.width:
        return None
    return _qkv(1, axis.width, axis.width)


def _group_by_group(axis: _Axis) -> _Blocks | None:
    """For each key head in turn its queries, key and value: NeoX, BLOOM, Falcon, Megatron."""
    heads = _heads(axis)
    if heads is None:
        return None
    number, kv_number, size = heads
    return _qkv(kv_number, number // kv_number * size, size)


def _head_by_head(axis: _Axis) -> _Blocks | None:
    """The same where every head has a key of its own, whatever the configuration says."""
    return _group_by_group(replace(axis, owner=replace(axis.owner, kv_heads=axis.owner.heads)))


def _thirds(axis: _Axis) -> _Blocks | None:
    third, rest = divmod(axis.length, 3)
    return None if rest or axis.owner.shares_keys else _qkv(1, third, third)


def _torch_thirds(axis: _Axis) -> _Blocks | None:
    return _thirds(axis) if axis.length == 3 * axis.width else None


def _gpt_2(axis: _Axis) -> _Blocks | None:
    if "crossattention" not in axis.path:
        return _one_after_the_other(axis)
    if axis.length != 2 * axis.width:
        return None
    return 1, ((KEY, axis.width), (VALUE, axis.width))


def _big_code(axis: _Axis) -> _Blocks | None:
    return None if "crossattention" in axis.path else _group_by_group(axis)


def _llama(axis: _Axis) -> _Blocks | None:
    # CodeGen's `h.0.attn.qkv_proj` looks the same to who cannot see the module.
    if not axis.owner.kinds and "h" in axis.path:
        return None
    return _one_after_the_other(axis)


def _codegen(axis: _Axis) -> _Blocks | None:
    """Four blocks, one for each device it was first trained on; values before keys."""
    size, rest = divmod(axis.length, 12)
    return None if rest else (4, ((QUERY, size), (VALUE, size), (KEY, size)))


def _gate_up(axis: _Axis) -> _Blocks | None:
    half, rest = divmod(axis.length, 2)
    return None if rest else (1, (("mlp.gate", half), ("mlp.up", half)))


def _up_gate(axis: _Axis) -> _Blocks | None:
    half, rest = divmod(axis.length, 2)
    return None if rest else (1, (("mlp.up", half), ("mlp.gate", half)))


def _qkv(groups: int, query: int, key: int) -> _Blocks:
    return groups, ((QUERY, query), (KEY, key), (VALUE, key))


def _heads(axis: _Axis) -> tuple[int, int, int] | None:
    """Heads, key heads and size of a head, where they are known and make up the axis.

    The owner's head size must be that of the axis, and without one the queries must be as wide as
    the input: a shard of a tensor-parallel layer divides just as evenly into wrong pieces.
    """
    owner = axis.owner
    if owner.heads is None:
        return None
    kv_heads = owner.heads if owner.kv_heads is None else owner.kv_heads
    size, rest = divmod(axis.length, owner.heads + 2 * kv_heads)
    if rest or size == 0 or owner.heads % kv_heads:
        return None
    fits = owner.heads * size == axis.width if owner.head_dim is None else size == owner.head_dim
    return (owner.heads, kv_heads, size) if fits else None


_SCHEMES: Final[Mapping[str, _Scheme]] = {
    "c_attn": _gpt_2,
    "query_key_value": _group_by_group,
    "linear_qkv": _group_by_group,
    "qkv_proj": _llama,
    "qkv": _one_after_the_other,
    "Wqkv": _one_after_the_other,
    "to_qkv": _thirds,
    "in_proj_weight": _torch_thirds,
    "gate_up_proj": _gate_up,
    # Packed one way or the other by equally common models: only with the module's class.
    "wqkv": _not_known,
    "in_proj": _not_known,
}

_OTHERWISE: Final[tuple[tuple[frozenset[str], re.Pattern[str], _Scheme], ...]] = (
    (frozenset({"c_attn"}), re.compile(r"\bGPTBigCode"), _big_code),
    (frozenset({"qkv_proj"}), re.compile(r"\bCodeGen"), _codegen),
    (frozenset({"qkv_proj"}), re.compile(r"\bMiniMaxLightning"), _head_by_head),
    (frozenset({"wqkv"}), re.compile(r"\bInternLM2"), _group_by_group),
    (frozenset({"in_proj"}), re.compile(r"\bDisentangledSelfAttention"), _head_by_head),
    (frozenset({"query_key_value"}), re.compile(r"\bChatGLM"), _not_known),
    (frozenset({"qkv"}), re.compile(r"\btiny_vit\.|\befficientformer\."), _head_by_head),
    (frozenset({"qkv"}), re.compile(r"\bAttentionCl$"), _not_known),
    (frozenset({"gate_up_proj"}), re.compile(r"\bPhi4MultimodalAudio"), _up_gate),
)
"""Words, the class of a module around them, and how these models pack them."""
