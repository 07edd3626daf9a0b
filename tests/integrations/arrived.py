"""What a training posted, and what a service makes of it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sqlalchemy import select

from bifurk.encoder import exact
from bifurk.layout import strip_wrappers
from bifurk.record import read_record
from bifurk.testing import InMemoryTransport
from bifurk.wire import Mark, Part, decode
from bifurk_service.checkpoints.finding import Checkpoint
from bifurk_service.checkpoints.snapshots import Snapshots
from bifurk_service.pipeline.housekeeping import Housekeeper
from bifurk_service.store.models import TENSOR_STATS, Attempt, StoredAlert, Tensor
from bifurk_service.store.reasons import statistics_told
from tests.pipeline.house import House

FULL_BYTES = 16 << 20
SEAM_STEPS = 3
CHILD_SECONDS = 120.0


@dataclass(frozen=True)
class Arrived:
    """Snapshots in order, and the attempt's reports."""

    parts: list[Part]
    reports: list[dict[str, Any]]

    @property
    def steps(self) -> list[int]:
        return [part.manifest.step for part in self.parts]

    @property
    def runs(self) -> set[tuple[str, str]]:
        return {(part.manifest.project, part.manifest.run) for part in self.parts}

    @property
    def attempts(self) -> list[str]:
        return list(dict.fromkeys(part.manifest.attempt for part in self.parts))

    @property
    def state(self) -> str:
        return str(self.reports[-1]["state"])

    def marks(self, kind: str) -> list[Mark]:
        """All of a kind, those of the last words too."""
        said = [mark for part in self.parts for mark in part.manifest.marks]
        last = [Mark(**mark) for mark in self.reports[-1]["marks"]]
        return [mark for mark in (*said, *last) if mark.kind == kind]

    def scalar(self, name: str) -> list[float]:
        """The last value in each interval that has one."""
        told = [part.manifest.scalars.get(name) for part in self.parts]
        last = self.reports[-1]["scalars"].get(name)
        return [one.last for one in told if one is not None] + ([last["last"]] if last else [])

    def count(self, name: str) -> int:
        told = [part.manifest.scalars.get(name) for part in self.parts]
        last = self.reports[-1]["scalars"].get(name)
        return sum(one.count for one in told if one is not None) + (last["count"] if last else 0)


def arrived(transport: InMemoryTransport) -> Arrived:
    return Arrived(parts=transport.parts(), reports=transport.states())


def left_in(folder: Path) -> Arrived:
    """What an offline run wrote."""
    requests = [read_record(path) for path in sorted(folder.rglob("*.request"))]
    parts = [decode(one.body, encoding="zstd") for one in requests if "/parts/" in one.path]
    reports = [json.loads(one.body) for one in requests if "/parts/" not in one.path]
    return Arrived(parts=sorted(parts, key=lambda part: part.manifest.sequence), reports=reports)


def in_children(count: int, child: Callable[[int], None]) -> list[int]:
    """Exit codes of forked processes: importing a trainer again takes seconds."""
    context = get_context("fork")
    children = [context.Process(target=child, args=(rank,)) for rank in range(count)]
    for one in children:
        one.start()
    deadline = time.monotonic() + CHILD_SECONDS
    for one in children:
        one.join(max(0.0, deadline - time.monotonic()))
        if one.is_alive():
            one.kill()
            one.join()
    return [int(one.exitcode or 0) for one in children]


KILLED = -signal.SIGKILL


def measured(house: House, parts: Iterable[Part]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Every stored statistic by attempt, tensor and step, once all these parts are judged."""
    for part in parts:
        assert house.receive(part)
    house.run_until("judged")
    query = (
        statistics_told()
        .add_columns(Attempt.slug.label("attempt"), Tensor.name.label("tensor"))
        .join(Tensor, Tensor.id == TENSOR_STATS.c.tensor_id)
        .join(Attempt, Attempt.id == TENSOR_STATS.c.attempt_id)
    )
    with house.database.read() as session:
        rows = [dict(row) for row in session.execute(query).mappings()]
    found = {}
    for row in rows:
        key = (row.pop("attempt"), row.pop("tensor"), row["step"])
        found[key] = {k: v for k, v in row.items() if not k.endswith("_id")}
    return found


def lose_the_silent(house: House, *, now: float) -> None:
    """Housekeeping at another time: what was not heard of for long is lost."""
    keeper = Housekeeper(
        house.database,
        house.blobs,
        started_at=0.0,
        silent_minimum_seconds=600.0,
        retention_days=None,
    )
    keeper.run(now)


def alarms_at(house: House, attempt: str, seam: int) -> list[str]:
    """What an attempt raised about its first snapshots, and every warning whenever it was."""
    chosen = (
        select(StoredAlert)
        .join(Attempt, Attempt.id == StoredAlert.attempt_id)
        .where(Attempt.slug == attempt)
    )
    with house.database.read() as session:
        return [
            alert.sentence
            for alert in session.scalars(chosen)
            if alert.severity != "info" or alert.onset_first_step <= seam + SEAM_STEPS
        ]


def of_checkpoints(parts: list[Part], saved: Mapping[int, Mapping[str, Any]]) -> list[Part]:
    """The parts that the trainer's own checkpoints give at the same steps, as another attempt.

    Args:
        saved: by step the tensors by name; what compilers put into names is taken out.
    """
    manifest = parts[0].manifest
    snapshots = Snapshots(
        project=manifest.project, run=manifest.run, attempt="saved", full_bytes=FULL_BYTES
    )
    names = [tensor.name for tensor in parts[0].tensors]
    read = []
    for part in parts:
        step = part.manifest.step
        bare = {strip_wrappers(name): tensor for name, tensor in saved[step].items()}
        values = {name: _exact(bare[name]) for name in names}
        checkpoint = Checkpoint(step=step, path=Path(__file__), files=(Path(__file__),))
        read.append(snapshots.part(checkpoint, values))
    return read


def assert_equal_statistics(house: House, parts: list[Part], saved: list[Part]) -> int:
    """Whether every statistic of both attempts is the same; how many numbers were compared."""
    assert [part.manifest.step for part in parts] == [part.manifest.step for part in saved]
    stored = measured(house, [*parts, *saved])
    own = parts[0].manifest.attempt
    compared = 0
    names = {tensor.name for tensor in parts[0].tensors}
    for (attempt, name, step), values in stored.items():
        if attempt != own or name not in names:
            continue
        for statistic, value in values.items():
            other = stored["saved", name, step][statistic]
            same = value == other or (value is None and other is None)
            assert same or np.isclose(value, other, rtol=1e-12, atol=0), (name, step, statistic)
            compared += isinstance(value, float)
    assert {step for attempt, _, step in stored if attempt == own} == {
        part.manifest.step for part in parts
    }
    return compared


def _exact(tensor: torch.Tensor) -> Any:
    return exact(tensor.detach().contiguous(), str(tensor.dtype).removeprefix("torch."))
