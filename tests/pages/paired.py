"""Runs to compare: four good ones, one that grows, one with nothing in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bifurk.exact import Exact
from bifurk.wire import Part, ScalarSummary, TensorPart
from tests.api.conftest import make_tokens
from tests.api.filling import Caller
from tests.pages.serving import Browser
from tests.parts import make_part
from tests.server import Server

PROJECT = "pairs"
LAYERS = 3
SNAPSHOTS = 18
STEP = 10
GROWS = 8
"""Sequence from which on the bad run is half as large again at every snapshot."""
SHAPE = (12, 16)
GOOD = ("good-1", "good-2", "good-3", "good-4")
BAD = "bad"
STRANGER = "stranger"
HOSTILE = "</script><img src=x onerror=alert(1)>$$x$$"
"""What a run may be called: text."""

ALERTS = f"""
baselines:
- name: "<b>steady</b>"
  project: {PROJECT}
  run: {BAD}
  good: [{", ".join(GOOD)}]
  statistics: std
  least_good: 4
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The server, ids of its runs by name, and browsers by the name of their token."""

    server: Server
    ids: dict[str, int]
    admin: Caller
    browsers: dict[str, Browser]
    tokens: dict[str, str]

    @property
    def good(self) -> str:
        """The good runs as a query names them."""
        return ",".join(str(self.ids[name]) for name in GOOD)


def paired_part(sequence: int, run: str) -> Part:
    """A snapshot: one matrix a layer, and a head."""
    names = [f"blocks.{layer}.mlp.up.weight" for layer in range(LAYERS)]
    if run == STRANGER:
        names = [name.replace("blocks", "cells") for name in names]
    tensors = [
        TensorPart(
            name=name,
            shape=SHAPE,
            dtype="float32",
            role="mlp.up",
            layer=layer,
            values=Exact(dtype="float32", data=_values(layer, sequence, run).ravel()),
        )
        for layer, name in enumerate(names)
    ]
    tensors.append(replace(tensors[0], name="head.weight", role="unembedding", layer=None))
    scalars = {"loss": _scalar(3.0 / (1 + 0.1 * sequence) + 0.3 * (sequence % 2))}
    if run == BAD:
        scalars["train/tokens"] = _scalar(512.0 * sequence * STEP)
    part = make_part(
        sequence,
        project=PROJECT,
        run=run,
        scalars=scalars,
        learning_rates=(0.3 if run == BAD else 0.1,),
    )
    return replace(part, tensors=tuple(tensors))


@contextmanager
def paired_runs(folder: Path) -> Iterator[Pairs]:
    """Starts a server with tokens and fills it; stops it at the end."""
    tokens = make_tokens(folder / "data")
    alerts_file = folder / "alerts.yaml"
    alerts_file.write_text(ALERTS)
    server = Server(folder / "data", {"BIFURK_ALERTS_FILE": str(alerts_file)})
    try:
        admin = Caller(server, tokens["admin"])
        names = (*GOOD, BAD, STRANGER)
        for sequence in range(SNAPSHOTS):
            for name in names:
                admin.post_part(paired_part(sequence, name))
        admin.report(PROJECT, "empty")
        ids = {name: admin.run_id(PROJECT, name) for name in (*names, "empty")}
        for name in names:
            admin.wait_until_judged(ids[name], SNAPSHOTS)
        browsers = {name: Browser(server, token) for name, token in tokens.items()}
        browsers["none"] = Browser(server, None)
        yield Pairs(server=server, ids=ids, admin=admin, browsers=browsers, tokens=tokens)
    finally:
        server.stop()


def _scalar(value: float) -> ScalarSummary:
    return ScalarSummary(last=value, mean=value, min=value, max=value, count=STEP)


def _values(layer: int, sequence: int, run: str) -> np.ndarray:
    seed = sum(map(ord, run))
    start = np.random.default_rng([layer, seed]).standard_normal(SHAPE)
    moved = np.random.default_rng([layer, seed, 1]).standard_normal(SHAPE)
    grown = 1.0
    if run == BAD and sequence >= GROWS:
        grown = 1.5 ** (sequence - GROWS + 1)
    return (0.02 * grown * (start + 0.02 * sequence * moved)).astype(np.float32)
