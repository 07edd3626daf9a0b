"""Parts made by hand, for tests that speak to the server without the hook."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import sample_positions, sketch
from bifurk.wire import LossReport, Manifest, Mark, Part, TensorPart, content_digest, encode
from tests.server import Server

SHAPES = {
    "blocks.0.mlp.up.weight": (160, 120),
    "blocks.0.mlp.up.bias": (160,),
    "blocks.0.mlp.down.weight": (40, 160),
    "blocks.0.mlp.down.bias": (40,),
}
"""One block: one matrix large enough to travel as counts, the rest exact."""


def weights_at(sequence: int, *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Weights that drift with the sequence, the same on every call."""
    weights = {}
    for index, (name, shape) in enumerate(SHAPES.items()):
        start = np.random.default_rng([seed, index, 0]).standard_normal(shape)
        moved = np.random.default_rng([seed, index, 1]).standard_normal(shape)
        weights[name] = (0.02 * (start + 0.01 * sequence * moved)).astype(np.float32)
    return weights


def make_part(sequence: int, *, seed: int = 0, full: bool = True, **manifest: Any) -> Part:
    """The part of one snapshot; steps are ten times the sequence."""
    fields: dict[str, Any] = {
        "project": "tests",
        "run": "run",
        "attempt": "first",
        "step": sequence * 10,
        "sequence": sequence,
        "previous_step": (sequence - 1) * 10 if sequence else None,
        "learning_rates": (0.1,),
        **manifest,
    }
    return Part(
        manifest=Manifest(**fields),
        tensors=tuple(
            make_tensor(name, values, full=full)
            for name, values in weights_at(sequence, seed=seed).items()
        ),
    )


def make_tensor(name: str, values: NDArray[np.float32], *, full: bool = True) -> TensorPart:
    """A float32 tensor as the client would carry it."""
    exact = Exact(dtype="float32", data=values)
    described = TensorPart(
        name=name,
        shape=values.shape,
        dtype="float32",
        layer=0,
        role="bias" if values.ndim == 1 else "mlp.up",
    )
    if values.size <= 16_384:
        return replace(described, values=Exact(dtype="float32", data=values.ravel()))
    return replace(
        described,
        counts=sketch(values),
        sample=Exact(dtype="float32", data=values.ravel()[sample_positions(values.size)]),
        full=exact if full else None,
    )


def address(manifest: Manifest) -> str:
    """The path of a part."""
    return (
        f"/api/v1/projects/{manifest.project}/runs/{manifest.run}/attempts/{manifest.attempt}"
        f"/snapshots/{manifest.step}/parts/{manifest.rank}"
    )


def put_body(server: Server, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    """Sends bytes as a part; headers given here replace the right ones."""
    sent = {
        "Content-Encoding": "zstd",
        "Content-Digest": content_digest(body),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return server.request("PUT", path, body=body, headers=sent)


def put_part(server: Server, part: Part, **headers: str) -> tuple[int, Any]:
    """Sends one part as the client does."""
    return put_body(server, address(part.manifest), encode(part), **headers)


__all__ = ["LossReport", "Mark", "address", "make_part", "make_tensor", "put_body", "put_part"]
