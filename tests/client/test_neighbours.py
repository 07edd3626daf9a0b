"""What a client says of other jobs under its run's name: each once, and of many the first."""

from __future__ import annotations

import pytest

from bifurk.identity import Identity
from bifurk.neighbours import MOST_TOLD, Neighbours

MINE = Identity(project="p", run="r", attempt="a")


def test_each_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    neighbours = Neighbours(MINE)
    for _ in range(2):
        neighbours.read({"beside": ["b", 3, "line\nbreak", "c"]})
    neighbours.read({"beside": "b"})
    assert [record.args[2] for record in caplog.records] == ["b", "c"]  # type: ignore[index]


def test_of_jobs_without_end_the_first_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    neighbours = Neighbours(MINE)
    for number in range(3 * MOST_TOLD):
        neighbours.read({"beside": [f"job-{number}"]})
    assert len(caplog.records) == MOST_TOLD
