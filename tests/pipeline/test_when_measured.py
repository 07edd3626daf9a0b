"""What is acknowledged is measured, however near to the measuring of the rest it came."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bifurk.wire import Part
from bifurk_service.store.models import TENSOR_STATS, Snapshot, Tensor
from tests.parts import make_part, make_tensor, weights_at
from tests.pipeline.house import House

LATER = "blocks.7.mlp.up.weight"
"""A tensor of the second rank."""


class WhenTold(Executor):
    """Runs a job when it is told to."""

    def __init__(self) -> None:
        self._jobs: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def finish(self) -> int:
        """Does all that was handed out; how many jobs that were."""
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job()
        return len(jobs)


def test_a_part_that_comes_while_its_snapshot_is_measured_is_measured_too(tmp_path: Path) -> None:
    house, workers = House(tmp_path), WhenTold()
    house.executor = lambda _count: workers
    house.pipeline = house.new_pipeline()
    first = make_part(0, expected_parts=2)
    house.receive(first)
    house.pipeline.advance()
    house.clock.advance(61.0)
    house.pipeline.advance()
    tensor = make_tensor(LATER, next(iter(weights_at(0).values())))
    assert house.receive(Part(manifest=replace(first.manifest, rank=1), tensors=(tensor,)))
    for _ in range(2):
        assert workers.finish() == 1
        house.pipeline.advance()
    assert house.states() == ["judged"]
    assert measured(house) == {*(one.name for one in first.tensors), LATER}
    with house.database.read() as session:
        assert session.scalars(select(Snapshot.coverage)).one() == 1.0
    house.pipeline.stop()
    house.database.close()


def measured(house: House) -> set[str]:
    """Names of the tensors of which there are values."""
    with house.database.read() as session:
        return set(
            session.scalars(
                select(Tensor.name).join(TENSOR_STATS, TENSOR_STATS.c.tensor_id == Tensor.id)
            )
        )
