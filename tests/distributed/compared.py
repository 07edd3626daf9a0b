"""What a server has of two runs, read from its database and blobs, and whether it is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from sqlalchemy import select
from torch import nn

import bifurk
from bifurk.wire import TensorPart, decode
from bifurk_service.stats.registry import STATISTICS, Family
from bifurk_service.stats.shards import assembled
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.models import TENSOR_STATS, Attempt, Run, Snapshot, StoredPart, Tensor
from bifurk_service.store.reasons import statistics_told
from tests.server import Server

SPECTRA_TOLERANCE = 1e-6
SPECTRAL = frozenset(one.name for one in STATISTICS if one.family == Family.SPECTRUM)

State = dict[str, torch.Tensor]


class Stored(Protocol):
    """Whatever has a server with runs on it."""

    @property
    def server(self) -> Server: ...


class Retaken(torch.optim.Optimizer):
    """Takes the steps that others have taken."""

    def __init__(self, model: nn.Module, states: list[State]) -> None:
        super().__init__(model.parameters(), {})
        self._model = model
        self._left = iter(states[1:])

    def step(self, closure: Any = None) -> None:
        del closure
        load(self._model, next(self._left))


def load(model: nn.Module, state: State) -> None:
    """Gives a model the weights it has in a state; what is frozen is in none."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    frozen = {name for name, one in model.named_parameters() if not one.requires_grad}
    assert set(missing) <= frozen


def watch_whole(
    model: nn.Module, states: list[State], *, run: str, every: int, url: str, folder: Path
) -> None:
    """One process goes through the same weights, undistributed."""
    load(model, states[0])
    optimizer = Retaken(model, states)
    with bifurk.watch(
        model, optimizer, run=run, every=every, payload="full", url=url, spool_dir=folder / "spool"
    ):
        for _ in states[1:]:
            optimizer.step()


def run_id(stored: Stored, name: str) -> int:
    runs = stored.server.get("/api/v1/runs?limit=100")["items"]
    return next(int(run["id"]) for run in runs if run["run"] == name)


Carried = dict[tuple[int, str], list[TensorPart]]
Rows = dict[tuple[int, str], dict[str, Any]]


def assert_same_parts(ours: Carried, theirs: Carried) -> None:
    """What the shards make up is, bit for bit, what one process has sent of the whole."""
    assert ours.keys() == theirs.keys()
    assert {len(pieces) for pieces in theirs.values()} == {1}
    for key, pieces in ours.items():
        came, expected = assembled(pieces), theirs[key][0]
        assert isinstance(came, TensorPart), (key, came)
        assert (came.dtype, came.role, came.product) == (
            expected.dtype, expected.role, expected.product,
        )  # fmt: skip
        assert (came.counts is None) == (expected.counts is None)
        if came.counts is not None and expected.counts is not None:
            np.testing.assert_array_equal(came.counts.keys, expected.counts.keys)
            np.testing.assert_array_equal(came.counts.counts, expected.counts.counts)
        for kind in ("values", "sample"):
            mine, other = getattr(came, kind), getattr(expected, kind)
            assert (mine is None) == (other is None)
            if mine is not None:
                np.testing.assert_array_equal(mine.data, other.data)


def assert_same_statistics(ours: Rows, theirs: Rows) -> int:
    """Equal, spectral ones nearly; returns how many of these there were."""
    assert ours.keys() == theirs.keys()
    measured = 0
    for key, row in ours.items():
        for name, value in row.items():
            expected = theirs[key][name]
            if name in SPECTRAL and value is not None:
                assert value == pytest.approx(expected, rel=SPECTRA_TOLERANCE), (key, name)
                measured += 1
            else:
                assert value == expected, (key, name)
    return measured


def snapshots_of(stored: Stored, run: str) -> list[dict[str, Any]]:
    listed = stored.server.get(f"/api/v1/runs/{run_id(stored, run)}/snapshots")["items"]
    return sorted(listed, key=lambda one: one["sequence"])


def statistics(stored: Stored, run: str) -> Rows:
    """Rows of stored statistics by step and name of the tensor."""
    query = (
        statistics_told()
        .add_columns(Tensor.name.label("tensor"))
        .join(Tensor, Tensor.id == TENSOR_STATS.c.tensor_id)
        .join(Run, Run.id == Tensor.run_id)
        .where(Run.slug == run)
    )
    database = Database(f"sqlite:///{stored.server.data_dir / 'bifurk.db'}")
    with database.read() as session:
        rows = [dict(row) for row in session.execute(query).mappings()]
    database.close()
    own = ("tensor", "tensor_id", "attempt_id", "step")
    return {
        (row["step"], row["tensor"]): {name: row[name] for name in row if name not in own}
        for row in rows
    }


def carried(stored: Stored, run: str) -> Carried:
    """What the stored parts carry, by step and name of the tensor."""
    query = (
        select(Snapshot.step, StoredPart.blob_key, StoredPart.encoding)
        .join(Snapshot, Snapshot.id == StoredPart.snapshot_id)
        .join(Attempt, Attempt.id == Snapshot.attempt_id)
        .join(Run, Run.id == Attempt.run_id)
        .where(Run.slug == run)
        .order_by(StoredPart.rank)
    )
    database = Database(f"sqlite:///{stored.server.data_dir / 'bifurk.db'}")
    with database.read() as session:
        rows = list(session.execute(query))
    database.close()
    blobs = open_blobs(str(stored.server.data_dir / "blobs"))
    found: Carried = {}
    for step, key, encoding in rows:
        for tensor in decode(blobs.get(key), encoding=encoding).tensors:
            found.setdefault((step, tensor.name), []).append(tensor)
    return found
