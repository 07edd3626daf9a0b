"""A run whose layers part: what the pages of alerts and branches are shown with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bifurk.exact import Exact
from bifurk.wire import Mark, Part, ScalarSummary, TensorPart
from tests.api.filling import Caller
from tests.parts import make_part

LAYERS = 8
SNAPSHOTS = 44
FORK = 28
"""Sequence at which the lower half of the layers begins to grow."""
STEP = 10
SHAPE = (12, 16)
EVALUATED = 20
RATE_FELL = 24
HOSTILE = "<img src=x onerror=alert(1)>"
"""A mark's kind and detail may be this: text."""


def forked_part(sequence: int, **manifest: Any) -> Part:
    """A snapshot: eight up projections, of which four grow from ``FORK`` on, and a constant."""
    tensors = [
        TensorPart(
            name=f"blocks.{layer}.mlp.up.weight",
            shape=SHAPE,
            dtype="float32",
            role="mlp.up",
            layer=layer,
            values=Exact(dtype="float32", data=_values(layer, sequence).ravel()),
        )
        for layer in range(LAYERS)
    ]
    tensors.append(replace(tensors[0], name="head.weight", role="unembedding", layer=None))
    loss = 3.0 / (1 + 0.1 * sequence)
    marks = [Mark(kind="checkpoint", step=sequence * STEP, details={"path": f"{sequence}.pt"})]
    if sequence == EVALUATED:
        marks += [Mark(kind="evaluation", step=sequence * STEP, details={"split": HOSTILE})]
    part = make_part(
        sequence,
        project="forks",
        scalars={"loss": ScalarSummary(last=loss, mean=loss, min=loss, max=loss, count=STEP)},
        marks=tuple(marks),
        learning_rates=(0.1 if sequence < RATE_FELL else 0.05,),
        **manifest,
    )
    return replace(part, tensors=tuple(tensors))


def fill_forked(caller: Caller, run: str = "forked") -> int:
    """Posts the run and waits until it is judged; gives its id."""
    for sequence in range(SNAPSHOTS):
        caller.post_part(forked_part(sequence, run=run))
    caller.report("forks", run, "finished")
    run_id = caller.run_id("forks", run)
    caller.wait_until_judged(run_id, SNAPSHOTS)
    return run_id


def _values(layer: int, sequence: int) -> np.ndarray:
    start = np.random.default_rng([layer, 0]).standard_normal(SHAPE)
    noise = np.random.default_rng([layer, 1, sequence]).standard_normal(SHAPE)
    grown = 1.0 + 0.12 * max(sequence - FORK, 0) * (layer < LAYERS // 2)
    return (0.02 * grown * (start + 0.01 * noise)).astype(np.float32)
