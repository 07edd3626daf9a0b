"""What came, and is kept, does not depend on which of two is measured first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from bifurk.exact import Exact
from bifurk.wire import Part
from bifurk_service.errors import StorageError
from bifurk_service.pipeline import judging
from bifurk_service.stats.layers.profile import ProfileTensor
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import (
    TENSOR_STATS,
    Snapshot,
    StoredDirective,
    StoredPart,
    Tensor,
)
from tests.parts import make_part, make_tensor, weights_at
from tests.pipeline.house import Held, House

LATER = "blocks.7.mlp.up.weight"
"""A tensor of the second rank."""
MATRIX = "blocks.0.mlp.up.weight"
MOST_EXACT = 16_384
"""Values of a tensor that always travels with all of them."""
BROKEN_AT = 3
"""Sequence that is seen to be broken."""


@pytest.fixture
def workers(house: House) -> Held:
    """What measures in the house."""
    workers = Held()
    house.executor = lambda _count: workers
    house.pipeline = house.new_pipeline()
    return workers


def test_a_part_that_comes_while_its_snapshot_is_measured_is_measured_too(
    house: House, workers: Held
) -> None:
    first = make_part(0, expected_parts=2)
    house.receive(first)
    house.wait_in_vain()
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


def test_an_alert_keeps_full_values_whose_successor_was_measured_before_it_was_judged(
    house: House, workers: Held
) -> None:
    for sequence in range(BROKEN_AT + 2):
        house.receive(part_of(sequence, broken=sequence == BROKEN_AT))
    house.pipeline.advance()
    workers.finish()
    house.pipeline.advance()
    while workers.finish(but=1):
        house.pipeline.advance()
    assert house.states() == ["judged", "judged", "received", "measured", "measured"]
    workers.finish()
    house.pipeline.advance()
    assert house.states() == ["judged"] * 5
    with house.database.read() as session:
        kept = session.scalars(
            select(Snapshot.sequence)
            .join(StoredPart, StoredPart.snapshot_id == Snapshot.id)
            .where(StoredPart.stale_key.is_not(None))
        ).all()
        assert len(session.scalars(select(StoredDirective)).all()) == 1
    assert {BROKEN_AT, BROKEN_AT + 1} <= {*kept}


def test_what_was_kept_before_the_database_was_away_is_judged_in_the_next_round(
    house: House, workers: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in ("kept", "not-kept", "another", "one-more"):
        house.receive(make_part(0, run=run))
    house.pipeline.advance()
    workers.finish()
    with monkeypatch.context() as broken:
        broken.setattr(house.database, "write", gone_after(house.database, transactions=2))
        with pytest.raises(StorageError):
            house.pipeline.advance()
    assert house.states() == ["measured", "received", "received", "received"]
    house.pipeline.advance()
    assert house.states() == ["judged", "judged", "received", "received"]


def gone_after(
    database: Database, *, transactions: int
) -> Callable[..., AbstractContextManager[Session]]:
    """A database that is away after so many, which the first snapshot takes."""
    write = database.write
    begun = itertools.count()

    @contextmanager
    def while_there(*, in_line: bool = True) -> Iterator[Session]:
        if next(begun) >= transactions:
            raise StorageError("gone")
        with write(in_line=in_line) as session:
            yield session

    return while_there


def test_profiles_are_of_what_the_attempt_began_with_also_where_that_came_late(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []

    def spied(now: Sequence[ProfileTensor], *, first: Sequence[ProfileTensor]) -> Any:
        begun.extend(one.singular_values[0] for one in first if one.singular_values is not None)
        return []

    monkeypatch.setattr(judging, "profile_statistics", spied)
    for sequence in (0, 2):
        house.receive(grown(sequence))
    house.wait_in_vain()
    house.run_until("judged")
    house.receive(grown(1))
    house.run_until("judged", "late")
    house.receive(grown(3))
    house.run_until("judged", "late")
    assert [round(one / begun[-1]) for one in begun[-2:]] == [2, 1]


def grown(sequence: int) -> Part:
    """A part with one matrix, as large as the sequence says; of the first there is no spectrum."""
    part = make_part(sequence)
    [matrix] = [values for values in weights_at(0).values() if values.size > MOST_EXACT]
    tensor = make_tensor(MATRIX, matrix * np.float32(max(sequence, 1)), full=sequence > 0)
    return Part(manifest=part.manifest, tensors=(tensor,))


def part_of(sequence: int, *, broken: bool) -> Part:
    """A part, with a NaN where it is broken: a critical alert at once."""
    part = make_part(sequence)
    tensors = [one for one in part.tensors if one.values is None]
    small = next(one for one in part.tensors if one.values is not None)
    assert small.values is not None
    values = small.values.float64().astype(np.float32)
    values[0] = np.nan if broken else values[0]
    tensors.append(replace(small, values=Exact(dtype="float32", data=values)))
    return Part(manifest=part.manifest, tensors=tuple(tensors))


def measured(house: House) -> set[str]:
    """Names of the tensors of which there are values."""
    with house.database.read() as session:
        return set(
            session.scalars(
                select(Tensor.name).join(TENSOR_STATS, TENSOR_STATS.c.tensor_id == Tensor.id)
            )
        )
