"""Several statistics of one tensor in stretches: no extreme is lost, no snapshot told of twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.stats.spans import Spans
from bifurk_service.store import tensor_spans
from bifurk_service.store.tensor_spans import length_of, read_tensor_spans
from tests.database import fresh_database
from tests.store.condensed import check
from tests.written_run import WrittenRun

STATISTICS = ("mean", "std")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WrittenRun]:
    """620 snapshots, the last 20 not condensed; then a second attempt from the 500th on."""
    found = WrittenRun(fresh_database(tmp_path_factory.mktemp("spans")))
    found.judge(range(520))
    for step in range(5_000, 5_200, 10):
        for tensor in found.tensors:
            del found.values[tensor, step]
    found.judge(range(500, 660), attempt=found.begin("second"))
    condense_due(found.database, most_seconds=60)
    yield found
    found.database.close()


def spans(run: WrittenRun, tensor: int, widest: float) -> Spans:
    with run.database.read() as session:
        return read_tensor_spans(
            session,
            run.id,
            run.tensors[tensor],
            STATISTICS,
            narrow=lambda first, last: last - first <= widest,
        )


@pytest.mark.parametrize("widest", [np.inf, 1_000, 70, -1])
def test_no_extreme_is_lost(run: WrittenRun, widest: float) -> None:
    found = [spans(run, tensor, widest) for tensor in range(2)]
    std = Spans(
        first=found[0].first,
        last=found[0].last,
        low=np.stack([one.low[1] for one in found]),
        high=np.stack([one.high[1] for one in found]),
    )
    check(run, std)
    assert (found[0].low[0] == -1.0).all()
    assert (found[0].high[0] == -1.0).all()
    assert (len(std.first) < 250) == (widest >= 70)


def test_a_tensor_that_came_later_has_no_value_before(run: WrittenRun) -> None:
    run.add_tensor("late")
    with run.database.read() as session:
        found = read_tensor_spans(
            session, run.id, 3, STATISTICS, narrow=lambda first, last: last >= first
        )
    assert np.isnan(found.low).all()


def test_a_run_is_long_by_its_snapshots_and_tensors(
    run: WrittenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run.database.read() as session:
        assert not length_of(session, run.id).is_long
        monkeypatch.setattr(tensor_spans, "MOST_SINGLE", 100)
        assert length_of(session, run.id) == tensor_spans.Length(snapshots=660, is_long=True)
        monkeypatch.setattr(tensor_spans, "SINGLE_A_TENSOR", 1_000)
        assert not length_of(session, run.id).is_long
