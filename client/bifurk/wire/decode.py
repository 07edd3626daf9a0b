"""Bytes to parts, trusting nothing.

Every length is checked against the limits before anything of that size is allocated, and
every error says where in the part it is, what was expected and what came.
"""

from __future__ import annotations

import math
from typing import Any

from bifurk.exact import STORAGE
from bifurk.packing import MOST_CHARACTERS, Packing, read_packing
from bifurk.sketch import SAMPLE_SIZE, SMALL_TENSOR_ELEMENTS, Sketch
from bifurk.wire.container import decompress, read_container
from bifurk.wire.errors import PartTooLargeError, WireError
from bifurk.wire.fields import Fields, shown
from bifurk.wire.limits import (
    MAX_DIMENSIONS,
    MAX_ELEMENTS,
    MAX_LAYER,
    MAX_NAME_CHARACTERS,
    WireLimits,
)
from bifurk.wire.manifest import read_manifest
from bifurk.wire.part import Part, Placement, Product, TensorPart
from bifurk.wire.payloads import KINDS, Payloads
from bifurk.wire.shards import cut_shape, sampled_within
from bifurk.wire.strict_json import parse_object

_ROLE_CHARACTERS = 64


def decode(body: bytes, *, encoding: str = "zstd", limits: WireLimits | None = None) -> Part:
    """Reads one part.

    Full values are read-only views of the unpacked body; everything else is a copy.

    Args:
        body: the bytes as sent.
        encoding: ``zstd`` or ``identity``.
        limits: what to refuse; the defaults suit a server.

    Raises:
        PartTooLargeError: it would unpack to more than the limits allow.
        WireError: anything else is wrong with it.
    """
    limits = limits or WireLimits()
    container = read_container(_plain(body, encoding, limits.decoded_bytes), limits)
    document = parse_object(container.manifest, "manifest", most_values=limits.json_values)
    manifest = read_manifest(document)
    entries = [
        Fields(entry, f"manifest.tensors[{index}]")
        for index, entry in enumerate(Fields(document, "manifest").items("tensors", limits.tensors))
    ]
    carried = [_carries(f) for f in entries]
    payloads = Payloads(container.arrays, sketch_count=sum("counts" in kinds for kinds in carried))
    tensors = tuple(
        _tensor(f, index=index, carries=kinds, payloads=payloads)
        for index, (f, kinds) in enumerate(zip(entries, carried, strict=True))
    )
    payloads.finish()
    _check_names(tensors)
    return Part(manifest=manifest, tensors=tensors)


def _plain(body: bytes, encoding: str, limit: int) -> memoryview:
    if encoding == "zstd":
        return decompress(body, limit=limit)
    if encoding != "identity":
        raise WireError("Content-Encoding", f"expected zstd or identity, got {shown(encoding)}")
    if len(body) > limit:
        raise PartTooLargeError("body", f"at most {limit} bytes, got {len(body)}")
    return memoryview(body).toreadonly()


def _carries(f: Fields) -> frozenset[str]:
    """What a tensor carries; kinds of later minors are left out."""
    kinds = f.items("carries", MAX_DIMENSIONS)
    if not all(isinstance(kind, str) for kind in kinds) or len(set(kinds)) != len(kinds):
        f.fail("carries", f"any of {', '.join(KINDS)}, each once")
    known = frozenset(kinds) & frozenset(KINDS)
    if ("counts" in known) == ("values" in known):
        f.fail("carries", "either counts or values")
    if "sample" in known and "counts" not in known:
        f.fail("carries", "a sample only beside counts")
    return known


def _tensor(f: Fields, *, index: int, carries: frozenset[str], payloads: Payloads) -> TensorPart:
    name = f.text("name")
    if not name:
        f.fail("name", "a name")
    dtype = f.text("dtype")
    if dtype not in STORAGE:
        f.fail("dtype", f"one of {', '.join(STORAGE)}")
    shape = _shape(f, "shape")
    placement = _placement(f, shape)
    local_shape = placement.local_shape if placement else shape
    size = math.prod(local_shape)
    _check_size(f, size, math.prod(shape), carries)

    def packed(kind: str, elements: int) -> Any:
        if kind not in carries:
            return None
        return payloads.packed(kind, dtype, elements, f"{f.where}.{kind}")

    return TensorPart(
        name=name,
        shape=shape,
        dtype=dtype,
        role=f.text("role", "other", limit=_ROLE_CHARACTERS),
        layer=f.optional_integer("layer", most=MAX_LAYER),
        counts=_counts(f, dtype, size, payloads) if "counts" in carries else None,
        values=packed("values", size),
        sample=packed("sample", _sample_size(shape, placement)) if "sample" in carries else None,
        full=payloads.full(index, dtype, local_shape, f"{f.where}.full")
        if "full" in carries
        else None,
        placement=placement,
        packing=_packing(f, shape),
        product=_product(f),
    )


def _packing(f: Fields, shape: tuple[int, ...]) -> Packing | None:
    if not f.has("packing"):
        return None
    text = f.text("packing", limit=MOST_CHARACTERS)
    try:
        return read_packing(text, shape)
    except ValueError as error:
        raise WireError(f"{f.where}.packing", str(error)) from None


def _product(f: Fields) -> Product | None:
    if not f.has("product"):
        return None
    told = Fields(f.raw("product"), f"{f.where}.product")
    right = told.text("right", limit=MAX_NAME_CHARACTERS)
    if not right:
        told.fail("right", "a name")
    scale = told.number("scale")
    if not math.isfinite(scale):
        told.fail("scale", "a finite number")
    return Product(right=right, scale=scale)


def _shape(f: Fields, name: str) -> tuple[int, ...]:
    if name != "shape" and not f.has(name):
        f.fail(name, "a list")
    shape = f.integers(name, least=0, most=MAX_ELEMENTS, limit=MAX_DIMENSIONS)
    if 0 in shape:
        f.fail(name, "at least one element: tensors without any are left out")
    if math.prod(shape) > MAX_ELEMENTS:
        f.fail(name, f"at most {MAX_ELEMENTS} elements")
    return shape


def _placement(f: Fields, shape: tuple[int, ...]) -> Placement | None:
    if not f.has("placement"):
        return None
    placed = Fields(f.raw("placement"), f"{f.where}.placement")
    offset = placed.integers("offset", least=0, most=MAX_ELEMENTS, limit=MAX_DIMENSIONS)
    local_shape = _shape(placed, "local_shape")
    if len(offset) != len(local_shape) or len(offset) not in (1, len(shape)):
        raise WireError(placed.where, f"expected {len(shape)} axes in offset and local_shape, or 1")
    placement = Placement(offset=offset, local_shape=local_shape)
    cut = cut_shape(shape, placement)
    ends = [start + length for start, length in zip(offset, local_shape, strict=True)]
    if any(end > whole for end, whole in zip(ends, cut, strict=True)):
        raise WireError(
            placed.where,
            f"offset {list(offset)} and local shape {list(local_shape)} reach beyond {list(cut)}",
        )
    return placement


def _sample_size(shape: tuple[int, ...], placement: Placement | None) -> int:
    """Of a shard, as many of the whole tensor's sample as lie in it."""
    return SAMPLE_SIZE if placement is None else sampled_within(shape, placement)[0].size


def _check_size(f: Fields, size: int, whole: int, carries: frozenset[str]) -> None:
    if "values" in carries and size > SMALL_TENSOR_ELEMENTS:
        f.fail("shape", f"at most {SMALL_TENSOR_ELEMENTS} elements where values are carried")
    if "sample" in carries and whole < SAMPLE_SIZE:
        f.fail("shape", f"at least {SAMPLE_SIZE} elements where a sample is carried")


def _counts(f: Fields, dtype: str, size: int, payloads: Payloads) -> Sketch:
    counts = payloads.counts(dtype, f"{f.where}.counts")
    if counts.size != size:
        raise WireError(
            f"{f.where}.counts",
            f"expected counts of {size} elements as its shape says, got {counts.size}",
        )
    return counts


def _check_names(tensors: tuple[TensorPart, ...]) -> None:
    seen: set[str] = set()
    for index, tensor in enumerate(tensors):
        if tensor.name in seen:
            raise WireError(
                f"manifest.tensors[{index}].name", f"{shown(tensor.name)} is named twice"
            )
        seen.add(tensor.name)
