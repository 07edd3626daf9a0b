"""What a snapshot weighs by how many ranks its tensors are cut over, as the client encodes it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from bifurk.exact import Exact
from bifurk.sketch import sample_positions, sketch
from bifurk.wire import Manifest, Part, TensorPart, encode
from bifurk.wire.part import Placement
from bifurk.wire.shards import sampled_within

SHAPE: Final = (2_048, 2_048)
TENSORS: Final = 12
RANKS: Final = (1, 8, 64, 512)


def by_shards(ranks: int) -> dict[str, Any]:
    """Bytes a tensor of all ranks' parts together, each rank holding some rows of every tensor."""
    rows = SHAPE[0] // ranks
    placement = None if ranks == 1 else Placement(offset=(0, 0), local_shape=(rows, SHAPE[1]))
    tensors = tuple(_shard(place, placement, rows) for place in range(TENSORS))
    manifest = Manifest(
        project="load", run="run", attempt="first", step=10, sequence=1, expected_parts=ranks
    )
    body = encode(Part(manifest=manifest, tensors=tensors))
    return {
        "ranks": ranks,
        "elements": rows * SHAPE[1],
        "shard_bytes": len(body) / TENSORS,
        "tensor_bytes": ranks * len(body) / TENSORS,
    }


def _shard(place: int, placement: Placement | None, rows: int) -> TensorPart:
    random = np.random.default_rng(place)
    values = 0.02 * random.standard_normal((rows, SHAPE[1]), dtype=np.float32)
    bits = (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    here = sample_positions(bits.size) if placement is None else sampled_within(SHAPE, placement)[1]
    return TensorPart(
        name=f"model.layers.{place}.mlp.experts.0.down_proj.weight", shape=SHAPE, dtype="bfloat16",
        role="mlp.down", layer=place, placement=placement,
        counts=sketch((bits.astype(np.uint32) << np.uint32(16)).view(np.float32)),
        sample=Exact(dtype="bfloat16", data=bits.ravel()[here]),
    )  # fmt: skip
