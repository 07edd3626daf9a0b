"""How much a snapshot of a real model weighs on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import SMALL_TENSOR_ELEMENTS, sample_positions, sketch
from bifurk.wire import Manifest, Part, TensorPart, encode

WIDTH, VOCABULARY, CONTEXT, BLOCKS = 768, 50_257, 1_024, 12
MANIFEST = Manifest(project="p", run="r", attempt="a", step=0, sequence=0)


def gpt_2_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    d = WIDTH
    yield "wte.weight", (VOCABULARY, d)
    yield "wpe.weight", (CONTEXT, d)
    for block in range(BLOCKS):
        for name, inputs, outputs in (
            ("attn.c_attn", d, 3 * d),
            ("attn.c_proj", d, d),
            ("mlp.c_fc", d, 4 * d),
            ("mlp.c_proj", 4 * d, d),
        ):
            yield f"h.{block}.{name}.weight", (inputs, outputs)
            yield f"h.{block}.{name}.bias", (outputs,)
        for norm in ("ln_1", "ln_2"):
            yield f"h.{block}.{norm}.weight", (d,)
            yield f"h.{block}.{norm}.bias", (d,)
    yield "ln_f.weight", (d,)
    yield "lm_head.weight", (VOCABULARY, d)


def trained(name: str, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    values = rng.standard_normal(size, dtype=np.float32)
    if ".ln_" in name and name.endswith("weight"):
        return 1 + np.float32(0.003) * values
    return values * np.float32(0.01 if name.endswith("bias") else 0.02)


def as_sent(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> TensorPart:
    values = trained(name, int(np.prod(shape)), rng)
    tensor = TensorPart(name=name, shape=shape, dtype="float32")
    if values.size <= SMALL_TENSOR_ELEMENTS:
        return replace(tensor, values=Exact(dtype="float32", data=values))
    sample = Exact(dtype="float32", data=values[sample_positions(values.size)])
    return replace(tensor, counts=sketch(values), sample=sample)


def test_a_model_of_163_million_parameters_fits_its_budget() -> None:
    rng = np.random.default_rng(0)
    tensors = tuple(as_sent(name, shape, rng) for name, shape in gpt_2_shapes())
    assert len(tensors) == 148
    assert sum(tensor.size for tensor in tensors) == 163_036_416

    counts = tuple(replace(t, sample=None) for t in tensors if t.counts is not None)
    assert len(encode(Part(manifest=MANIFEST, tensors=counts))) <= 300_000
    assert len(encode(Part(manifest=MANIFEST, tensors=tensors))) <= 1_600_000
