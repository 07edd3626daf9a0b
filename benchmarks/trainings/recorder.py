"""Trains through the hook against a server on loopback, and reads back what its judge was fed."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

import bifurk
from bifurk_service.demo import modular_addition
from bifurk_service.demo.runs import ModularAddition
from bifurk_service.demo.server import serving
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.measurements import statistics_at, tensors_of
from bifurk_service.store.models import Attempt
from bifurk_service.store.snapshots import clock_of, judged_snapshots

from .collecting import Rest, wait_until_judged
from .encoder import train_encoder
from .families import MODULAR_SHUFFLED, PROJECT, Training
from .gpt import Watch, train_gpt
from .recording import RecordedAttempt, Recording, save

SPOOL_BYTES: Final = 16 << 30
"""A server that measures slowly must not cost a snapshot."""
DELIVERED_DEADLINE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a training told of itself; see ``Recording``."""

    losses: list[float]
    accuracy: list[tuple[int, float]]


def record_missing(trainings: Sequence[Training], *, cache: Path) -> Iterator[Training]:
    """Trains what the cache has no recording of, one after the other; yields each when it is kept.

    Raises:
        RuntimeError: a snapshot was lost or could not be measured.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for training in trainings:
        path = recording_path(cache, training)
        if not path.exists():
            save(record(training), path)
            yield training


def record(training: Training) -> Recording:
    """Trains against a server of its own: what it stores, most of a gigabyte, goes with it."""
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as api:
        told = _trained(training, url=api.url, folder=Path(name))
        rest = Rest(api.url)
        run_id = rest.run_id(project=PROJECT, run=training.name)
        wait_until_judged(rest, run_id)
        _check_whole(rest, run_id)
        return _recording(Path(name), run_id, told)


def recording_path(cache: Path, training: Training) -> Path:
    """Where the cache keeps a training's recording."""
    return cache / f"{training.name}.npz"


def train(training: Training, *, url: str, spool: Path) -> Told:
    """Trains one run under a monitor that posts to the server at ``url``."""
    torch.set_num_threads(1)
    watch = _watching(training, url=url, spool=spool)
    if training.family.model == "gpt":
        return Told(losses=train_gpt(training, watch=watch), accuracy=[])
    if training.family.model == "encoder":
        return Told(losses=train_encoder(training, watch=watch), accuracy=[])
    task = ModularAddition(
        shuffled_labels=training.family == MODULAR_SHUFFLED,
        steps=training.family.steps,
        seed=training.seed,
    )
    steps = list(modular_addition.train(task, watch=watch))
    return Told(
        losses=[step.loss for step in steps],
        accuracy=[(s.step, s.test_accuracy) for s in steps if s.test_accuracy is not None],
    )


def _trained(training: Training, *, url: str, folder: Path) -> Told:
    """In a process of its own: no training inherits another's memory or random state."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(train, training, url=url, spool=folder / "spool").result()


def _watching(training: Training, *, url: str, spool: Path) -> Watch:
    @contextmanager
    def watch(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[bifurk.Monitor]:
        with bifurk.watch(
            model,
            optimizer,
            project=PROJECT,
            run=training.name,
            every=training.family.every,
            url=url,
            payload="full",
            spool_dir=spool,
            spool_bytes=SPOOL_BYTES,
            overhead_budget=None,  # the cadence is part of the experiment
        ) as monitor:
            yield monitor
            if not monitor.flush(DELIVERED_DEADLINE_SECONDS):
                raise RuntimeError(f"{training.name}: snapshots did not reach the server")

    return watch


def _check_whole(rest: Rest, run_id: int) -> None:
    attempts = rest.get(f"/runs/{run_id}")["attempts"]
    lost = [attempt for attempt in attempts if any(attempt["dropped"].values())]
    if lost:
        raise RuntimeError(f"run {run_id} lost snapshots: {lost}")


def _recording(folder: Path, run_id: int, told: Told) -> Recording:
    database = Database(f"sqlite:///{folder / 'data/bifurk.db'}")
    with database.read() as session:
        query = session.query(Attempt).filter_by(run_id=run_id).order_by(Attempt.id)
        attempts = tuple(_attempt(session, attempt.id) for attempt in query)
    return Recording(
        attempts=attempts,
        losses=np.array(told.losses, dtype=np.float64),
        accuracy=tuple(told.accuracy),
        made_with={
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scipy")},
        },
    )


def _attempt(session: Session, attempt_id: int) -> RecordedAttempt:
    """In the order in which the judge was fed: tensors that came later stand behind."""
    known: tuple[int, ...] = ()
    clocks, counts, tables = [], [], []
    for snapshot in judged_snapshots(session, attempt_id, after=-1):
        known, values = statistics_at(session, snapshot, known=known)
        clocks.append(clock_of(session, snapshot))
        counts.append(len(known))
        tables.append(np.stack([values[name] for name in STATISTIC_NAMES]))
    table = np.full((len(tables), len(STATISTIC_NAMES), len(known)), np.nan)
    for row, filled in zip(table, tables, strict=True):
        row[:, : filled.shape[1]] = filled
    return RecordedAttempt(
        clocks=tuple(clocks),
        tensors=tuple(tensors_of(session, attempt_id, known)),
        counts=np.array(counts, dtype=np.int64),
        statistics=tuple(STATISTIC_NAMES),
        values=table,
    )
