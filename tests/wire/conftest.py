"""Parts to send: one of every kind, and the pieces to break them with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest

from bifurk.exact import STORAGE, Exact
from bifurk.packing import WHOLE, parse_packing
from bifurk.sketch import SAMPLE_SIZE, sample_positions, sketch, sketch_bits
from bifurk.wire import (
    LossReport,
    Manifest,
    Mark,
    Part,
    Placement,
    ScalarSummary,
    TensorPart,
)
from bifurk.wire.shards import sampled_within

MakeManifest: TypeAlias = Callable[..., Manifest]
MakeTensor: TypeAlias = Callable[..., TensorPart]


@pytest.fixture
def make_manifest() -> MakeManifest:
    def make(**changes: Any) -> Manifest:
        known: dict[str, Any] = {
            "project": "tests",
            "run": "gpt-small",
            "attempt": "a1",
            "step": 400,
            "sequence": 7,
            "previous_step": 300,
        }
        return Manifest(**(known | changes))

    return make


@pytest.fixture
def make_tensor() -> MakeTensor:
    """A tensor of the given shape as a client sends it: small ones exactly, larger as counts."""

    def make(
        name: str,
        shape: tuple[int, ...],
        *,
        dtype: str = "float32",
        full: bool = False,
        seed: int = 0,
    ) -> TensorPart:
        size = int(np.prod(shape))
        values = _exact(np.random.default_rng(seed).standard_normal(size), dtype)
        if size <= 16_384:
            return TensorPart(name=name, shape=shape, dtype=dtype, values=values)
        counts = (
            sketch_bits(values.data.astype(np.uint16), "bf16")
            if dtype == "bfloat16"
            else sketch(values.data)  # type: ignore[arg-type]
        )
        sample = Exact(dtype=dtype, data=values.data[sample_positions(size)])
        everything = Exact(dtype=dtype, data=values.data.reshape(shape)) if full else None
        return TensorPart(
            name=name, shape=shape, dtype=dtype, counts=counts, sample=sample, full=everything
        )

    return make


@pytest.fixture
def part(make_manifest: MakeManifest, make_tensor: MakeTensor) -> Part:
    """Every field set, every dtype, every kind of payload."""
    tensors = []
    for index, dtype in enumerate(STORAGE):
        tensors.append(make_tensor(f"h.{index}.gain", (64,), dtype=dtype, seed=index))
        tensors.append(make_tensor(f"h.{index}.w", (130, 127), dtype=dtype, full=index % 2 == 0))
    shard = make_tensor("shard", (130, 127), seed=9)
    whole = make_tensor("whole", (260, 127), seed=10)
    placement = Placement(offset=(130, 0), local_shape=(130, 127))
    places, _ = sampled_within((260, 127), placement)
    assert whole.sample is not None
    tensors.append(
        TensorPart(
            name="sharded",
            shape=(260, 127),
            dtype="float32",
            role="mlp.up",
            layer=3,
            counts=shard.counts,
            sample=Exact(dtype="float32", data=whole.sample.data[places]),
            placement=placement,
            packing=parse_packing("2*(gate,up)", (260, 127)),
        )
    )
    tensors[0] = replace(tensors[0], packing=WHOLE)
    manifest = make_manifest(
        off_grid=True,
        rank=1,
        expected_parts=2,
        wall_clock_seconds=1.7e9,
        display_name="Größe 小 🦋",
        optimizer="AdamW",
        optimizer_settings={"lr": 1e-3, "amsgrad": False, "foreach": None, "betas": "0.9, 0.98"},
        learning_rates=(1e-3, 1e-4),
        scalars={"loss": ScalarSummary(last=2.5, mean=2.6, min=2.4, max=2.9, count=100)},
        marks=(Mark(kind="checkpoint", step=380, details={"path": "ckpt/380.pt"}),),
        loss_report=LossReport(
            dropped={"spool_full": 3}, lost_sequences=((2, 3), (5, 5)), overhead_ratio=0.004
        ),
        client={"bifurk": "0.1.0"},
    )
    return Part(manifest=manifest, tensors=tuple(tensors))


@pytest.fixture
def all_nan(make_tensor: MakeTensor) -> TensorPart:
    shape = (130, 127)
    return TensorPart(
        name="broken",
        shape=shape,
        dtype="float32",
        counts=sketch(np.full(shape, np.nan, dtype=np.float32)),
        sample=_exact(np.full(SAMPLE_SIZE, np.nan), "float32"),
    )


def _exact(values: np.ndarray[Any, np.dtype[np.float64]], dtype: str) -> Exact:
    if dtype == "bfloat16":
        return Exact(dtype=dtype, data=(values.astype("<f4").view("<u4") >> 16).astype("<u2"))
    return Exact(dtype=dtype, data=values.astype(STORAGE[dtype]))
