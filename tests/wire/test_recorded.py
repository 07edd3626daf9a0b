"""Parts as older clients sent them: every later minor goes on reading them to the same values."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bifurk.packing import WHOLE, Packing
from bifurk.sketch import sample_positions
from bifurk.wire import LossReport, Mark, Part, Placement, Product, decode
from tests.wire.forge import assert_same_part

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture(scope="module")
def part() -> Part:
    return decode((RECORDED / "part-1.0.bin").read_bytes())


def test_the_manifest_of_1_0_reads_as_it_was_written(part: Part) -> None:
    manifest = part.manifest
    assert manifest.wire_version == "1.0"
    assert (manifest.project, manifest.run, manifest.attempt) == ("recorded", "run-1", "a1")
    assert (manifest.step, manifest.sequence, manifest.previous_step) == (400, 7, 300)
    assert (manifest.rank, manifest.expected_parts, manifest.off_grid) == (1, 2, True)
    assert manifest.wall_clock_seconds == 1.75e9
    assert manifest.display_name == "Größe"
    assert manifest.optimizer == "AdamW"
    assert manifest.optimizer_settings == {"weight_decay": 0.1, "fused": None, "amsgrad": False}
    assert manifest.learning_rates == (0.001, 0.0001)
    assert manifest.marks == (Mark(kind="checkpoint", step=380, details={"path": "ckpt/380.pt"}),)
    assert manifest.loss_report == LossReport(
        dropped={"spool_full": 3}, lost_sequences=((2, 3), (5, 5)), overhead_ratio=0.004
    )
    assert manifest.client == {"bifurk": "0.1.0"}


def test_the_scalars_of_1_0_read_as_they_were_written(part: Part) -> None:
    loss = part.manifest.scalars["loss"]
    assert math.isnan(loss.last)
    assert (loss.mean, loss.min, loss.max, loss.count) == (2.5, 2.0, math.inf, 100)


def test_the_tensors_of_1_0_read_as_they_were_written(part: Part) -> None:
    described = [(t.name, t.shape, t.dtype, t.role, t.layer, t.placement) for t in part.tensors]
    placement = Placement(offset=(3, 0), local_shape=(1, 2))
    assert described == [
        ("h.0.ln_1.weight", (3,), "bfloat16", "norm", 0, None),
        ("h.0.ln_1.bias", (2,), "float16", "bias", 0, None),
        ("h.0.mlp.c_fc.weight", (160, 128), "float32", "mlp.up", 0, None),
        ("head.weight", (2, 2), "float64", "unembedding", None, None),
        ("sharded/..", (4, 2), "float32", "other", None, placement),
    ]


def test_the_exact_values_of_1_0_read_as_they_were_written(part: Part) -> None:
    gain, bias, _, head, shard = part.tensors
    expected = [(gain, [1.0, -2.0, math.nan]), (bias, [0.5, -0.25]), (shard, [7.0, 8.0])]
    for tensor, values in expected:
        assert tensor.values is not None
        np.testing.assert_array_equal(tensor.values.float64(), values)
    assert head.full is not None
    assert head.full.float64().tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_the_counts_and_sample_of_1_0_read_as_they_were_written(part: Part) -> None:
    whole = ((np.arange(20_480) % 41) - 20) / 8
    whole[:4] = [math.nan, math.inf, -math.inf, 0.0]
    tensor = part.tensors[2]
    assert tensor.counts is not None
    assert tensor.sample is not None
    values, counts = np.unique(whole[np.isfinite(whole)], return_counts=True)
    assert tensor.counts.values().tolist() == values.tolist()
    assert tensor.counts.counts.tolist() == counts.tolist()
    assert (tensor.counts.nan, tensor.counts.positive_infinite) == (1, 1)
    assert tensor.counts.negative_infinite == 1
    np.testing.assert_array_equal(tensor.sample.float64(), whole[sample_positions(20_480)])


def test_nothing_is_said_of_packing_in_1_0(part: Part) -> None:
    assert all(tensor.packing is None for tensor in part.tensors)


def test_1_1_adds_the_packing_and_changes_nothing_else(part: Part) -> None:
    later = decode((RECORDED / "part-1.1.bin").read_bytes())
    old, new = later.tensors[: len(part.tensors)], later.tensors[len(part.tensors) :]
    version = replace(later.manifest, wire_version="1.0", scalars=part.manifest.scalars)
    assert_same_part(Part(manifest=version, tensors=old), part)
    query, key, value = "attention.query", "attention.key", "attention.value"
    assert [(tensor.name, tensor.shape, tensor.packing) for tensor in new] == [
        (
            "h.0.attn.c_attn.weight",
            (2, 9),
            Packing(axis=1, groups=1, pieces=((query, 5), (key, 2), (value, 2))),
        ),
        (
            "h.0.attention.query_key_value.weight",
            (12, 2),
            Packing(axis=0, groups=2, pieces=((query, 4), (key, 1), (value, 1))),
        ),
        ("h.0.attn.qkv.weight", (6, 2), WHOLE),
    ]


def test_1_2_adds_the_product_and_changes_nothing_else() -> None:
    older = decode((RECORDED / "part-1.1.bin").read_bytes())
    later = decode((RECORDED / "part-1.2.bin").read_bytes())
    old, new = later.tensors[: len(older.tensors)], later.tensors[len(older.tensors) :]
    version = replace(later.manifest, wire_version="1.1")
    assert_same_part(Part(manifest=version, tensors=old), older)
    right = "h.0.attn.c_attn.lora_A.default.weight"
    left = right.replace("lora_A", "lora_B")
    assert [(tensor.name, tensor.shape, tensor.product) for tensor in new] == [
        (right, (2, 3), None),
        (left, (4, 2), Product(right=right, scale=-0.5)),
    ]


def test_every_recorded_part_is_read() -> None:
    recorded = sorted(RECORDED.glob("part-*.bin"))
    assert recorded
    for file in recorded:
        body = file.read_bytes()
        assert len(body) < 20_000
        assert f"part-{decode(body).manifest.wire_version}.bin" == file.name
