"""What is encoded comes back bit for bit."""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load

from bifurk.exact import STORAGE, Exact
from bifurk.packing import WHOLE, Packing
from bifurk.sketch import SAMPLE_SIZE, sample_positions, sketch, sketch_bits
from bifurk.wire import (
    Detail,
    LossReport,
    Manifest,
    Mark,
    Part,
    Placement,
    Product,
    ScalarSummary,
    TensorPart,
    content_digest,
    decode,
    encode,
    encode_plain,
    strip_full,
)
from tests.wire.conftest import MakeManifest, MakeTensor
from tests.wire.forge import assert_same_part

MANIFEST = Manifest(project="p", run="r", attempt="a", step=0, sequence=0)
SHAPES = st.lists(st.integers(1, 6), max_size=4).map(tuple)


PRODUCTS = st.none() | st.builds(
    Product,
    right=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20),
    scale=st.floats(allow_nan=False, allow_infinity=False),
)


def bit_patterns(dtype: str, size: int) -> st.SearchStrategy[Exact]:
    """Any bits at all: NaN of every payload, infinities, -0, denormals."""
    storage = STORAGE[dtype]
    unsigned = np.dtype(f"<u{storage.itemsize}")
    return arrays(unsigned, size).map(lambda bits: Exact(dtype=dtype, data=bits.view(storage)))


def packings(shape: tuple[int, ...]) -> st.SearchStrategy[Packing | None]:
    """Any way to pack a matrix of this shape in two; of what is no matrix, that it is whole."""
    fitting = [
        Packing(axis=axis, groups=groups, pieces=(("query", first), ("key", block - first)))
        for axis in ((0, 1) if len(shape) == 2 else ())
        for groups in range(1, shape[axis] + 1)
        if shape[axis] % groups == 0
        for block in [shape[axis] // groups]
        for first in range(1, block)
    ]
    return st.sampled_from([None, WHOLE, *fitting])


@st.composite
def small_tensors(draw: st.DrawFn) -> TensorPart:
    dtype, shape = draw(st.sampled_from(sorted(STORAGE))), draw(SHAPES)
    placement = None
    if draw(st.booleans()):
        offset = draw(st.tuples(*(st.integers(0, 3) for _ in shape)))
        placement = Placement(offset=offset, local_shape=shape)
        shape = tuple(o + length + 1 for o, length in zip(offset, shape, strict=True))
        if draw(st.booleans()):
            start = draw(st.integers(0, math.prod(shape) - 1))
            length = draw(st.integers(1, math.prod(shape) - start))
            placement = Placement(offset=(start,), local_shape=(length,))
    local_shape = placement.local_shape if placement else shape
    values = draw(bit_patterns(dtype, math.prod(local_shape)))
    full = Exact(dtype=dtype, data=values.data.reshape(local_shape))
    return TensorPart(
        name=draw(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)),
        shape=shape,
        dtype=dtype,
        layer=draw(st.none() | st.integers(0, 100)),
        values=values,
        full=full if draw(st.booleans()) else None,
        placement=placement,
        packing=draw(packings(shape)),
        product=draw(PRODUCTS),
    )


@settings(max_examples=40)
@given(st.lists(small_tensors(), max_size=6, unique_by=lambda tensor: tensor.name))
def test_small_tensors_of_any_bits_come_back(tensors: list[TensorPart]) -> None:
    part = Part(manifest=MANIFEST, tensors=tuple(tensors))
    assert_same_part(decode(encode(part)), part)
    assert_same_part(decode(encode_plain(part), encoding="identity"), part)


@settings(max_examples=12)
@given(st.data())
@pytest.mark.parametrize("dtype", STORAGE)
def test_counts_and_samples_of_any_bits_come_back(dtype: str, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(SAMPLE_SIZE,), (17, 1000), (3, 5, 700)]))
    seed = data.draw(st.integers(0, 1 << 32))
    storage = STORAGE[dtype]
    size = math.prod(shape)
    raw = np.random.default_rng(seed).bytes(size * storage.itemsize)
    values = np.frombuffer(raw, dtype=storage)
    counts: Any = sketch_bits(values, "bf16") if dtype == "bfloat16" else sketch(values)
    tensor = TensorPart(
        name="w",
        shape=shape,
        dtype=dtype,
        counts=counts,
        sample=Exact(dtype=dtype, data=values[sample_positions(size)]),
        full=Exact(dtype=dtype, data=values.reshape(shape)),
    )
    part = Part(manifest=MANIFEST, tensors=(tensor,))
    assert_same_part(decode(encode(part)), part)


def test_a_part_with_everything_in_it_comes_back(part: Part) -> None:
    assert_same_part(decode(encode(part)), part)


def test_counts_up_to_the_largest_come_back(make_manifest: MakeManifest) -> None:
    counts = sketch(np.arange(5, dtype=np.float32))
    grown = counts.counts * np.array([1, 255, 256, 1 << 24, 1 << 45])
    tensor = TensorPart(
        name="w",
        shape=(int(grown.sum()),),
        dtype="float32",
        counts=replace(counts, counts=grown),
    )
    sent = Part(manifest=make_manifest(), tensors=(tensor,))
    assert_same_part(decode(encode(sent)), sent)


def test_an_all_nan_tensor_is_a_legitimate_one(
    make_manifest: MakeManifest, all_nan: TensorPart
) -> None:
    sent = Part(manifest=make_manifest(), tensors=(all_nan,))
    received = decode(encode(sent))
    assert_same_part(received, sent)
    counts = received.tensors[0].counts
    assert counts is not None
    assert (counts.nan, counts.finite_count) == (130 * 127, 0)


def test_a_part_without_tensors_comes_back(make_manifest: MakeManifest) -> None:
    sent = Part(manifest=make_manifest(), tensors=())
    assert_same_part(decode(encode(sent)), sent)


@pytest.mark.parametrize(
    "name", ["a/b", "../../etc/passwd", "..", "重み.層", "🦋", "a b", "x" * 512, "..\\c"]
)
def test_tensor_names_are_text_and_never_paths(
    name: str, make_manifest: MakeManifest, make_tensor: MakeTensor
) -> None:
    sent = Part(manifest=make_manifest(), tensors=(make_tensor(name, (4,)),))
    assert decode(encode(sent)).tensors[0].name == name


def test_nan_and_infinite_scalars_come_back_as_numbers(make_manifest: MakeManifest) -> None:
    loss = ScalarSummary(last=math.nan, mean=math.inf, min=-math.inf, max=math.inf, count=3)
    manifest = make_manifest(scalars={"loss": loss}, learning_rates=(math.inf,))
    received = decode(encode(Part(manifest=manifest, tensors=()))).manifest
    assert math.isnan(received.scalars["loss"].last)
    assert received.scalars["loss"].mean == math.inf
    assert received.scalars["loss"].min == -math.inf
    assert received.learning_rates == (math.inf,)


def test_what_users_put_into_marks_is_always_readable(make_manifest: MakeManifest) -> None:
    details: dict[str, Detail] = {
        "note": "two\nlines",
        "odd\x00key": "lone \ud800 surrogate",
        "long": "x" * 10_000,
        "nan": math.nan,
        "huge": 1 << 100,
    }
    manifest = make_manifest(marks=(Mark(kind="note", step=1, details=details),))
    received = decode(encode(Part(manifest=manifest, tensors=()))).manifest.marks[0].details
    assert received["note"] == "two lines"
    assert received["odd\ufffdkey"] == "lone \ufffd surrogate"
    assert received["long"] == "x" * 4_096
    assert received["nan"] == "NaN"
    assert received["huge"] == hex(1 << 100)


def test_the_same_part_has_the_same_bytes(part: Part) -> None:
    assert encode(part) == encode(part)


def test_the_body_is_a_file_that_safetensors_itself_reads(part: Part) -> None:
    arrays = load(encode_plain(part))
    assert arrays["values.bfloat16"].dtype == np.uint16
    assert arrays["full.1"].shape == (130, 127)
    assert set(arrays) >= {"counts.offsets", "counts.key_deltas", "counts.planes"}


def test_stripping_leaves_out_full_values_and_nothing_else(part: Part) -> None:
    stripped = strip_full(part)
    assert all(tensor.full is None for tensor in stripped.tensors)
    assert [t.counts is None for t in stripped.tensors] == [t.counts is None for t in part.tensors]
    assert_same_part(decode(encode(stripped)), stripped)
    assert any(tensor.full is not None for tensor in part.tensors)
    assert len(encode(stripped)) < len(encode(part))


def test_keeping_a_sample_does_not_keep_the_body(part: Part) -> None:
    received = decode(encode(part))
    sample = next(t.sample for t in received.tensors if t.sample is not None)
    owner = sample.data if sample.data.base is None else sample.data.base
    assert isinstance(owner, np.ndarray)
    assert owner.flags.owndata


def test_the_digest_is_the_one_of_rfc_9530() -> None:
    expected = base64.b64encode(hashlib.sha256(b"body").digest()).decode()
    assert content_digest(b"body") == f"sha-256=:{expected}:"


def test_an_empty_loss_report_is_the_default(make_manifest: MakeManifest) -> None:
    received = decode(encode(Part(manifest=make_manifest(), tensors=())))
    assert received.manifest.loss_report == LossReport()
