"""A small model of several layers, whose projections have known widths and spectra."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.wire import Part, TensorPart
from tests.parts import make_part

LAYERS = 6
WIDTHS = {
    "attention.query": 1.0, "attention.key": 1.2, "attention.value": 0.5,
    "attention.output": 0.6, "mlp.up": 0.8, "mlp.down": 0.7,
}  # fmt: skip
SHAPE = (64, 96)


def matrix(role: str, layer: int, sequence: int) -> NDArray[np.float32]:
    """Gaussian, wider with depth; each role leans towards one direction by an amount of its own."""
    place = list(WIDTHS).index(role)
    rng = np.random.default_rng([place, layer])
    noise = rng.standard_normal(SHAPE)
    spike = np.outer(*(np.linalg.qr(rng.standard_normal((n, 1)))[0][:, 0] for n in SHAPE))
    scale = 0.02 * WIDTHS[role] * (1 + 0.1 * layer)
    lean = 12.0 * (place + 1) * (1 + sequence / 10)
    return (scale * (noise + lean * spike)).astype(np.float32)


def layered_part(sequence: int, run: str, **manifest: Any) -> Part:
    """A snapshot with all values of every projection."""
    tensors = tuple(
        TensorPart(
            name=f"h.{layer}.{role}.weight",
            shape=SHAPE,
            dtype="float32",
            role=role,
            layer=layer,
            values=Exact(dtype="float32", data=matrix(role, layer, sequence).ravel()),
        )
        for layer in range(LAYERS)
        for role in WIDTHS
    )
    return replace(make_part(sequence, project="layered", run=run, **manifest), tensors=tensors)
