"""Which attempts of a run train at the same time, and that knowing it costs one look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, select

from bifurk_service.domain import AttemptState
from bifurk_service.store.beside import beside, live_together, trained_beside
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.runs import ensure_attempt
from tests.database import fresh_database

Fill = Callable[..., None]


@pytest.fixture
def database(tmp_path: Any) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def fill(database: Database) -> Fill:
    """Makes attempts named a, b, ... of one run from the times of their first and last snapshot."""

    def make(*spans: tuple[float, float] | None, over: str = "") -> None:
        with database.write() as session:
            for number, span in enumerate(spans):
                name = chr(ord("a") + number)
                attempt = ensure_attempt(session, project="p", run="r", attempt=name, now=0.0)
                if name in over:
                    attempt.state = AttemptState.FINISHED.value
                session.add_all(
                    snapshot(attempt.id, sequence, at) for sequence, at in enumerate(span or ())
                )

    return make


def snapshot(attempt_id: int, sequence: int, at: float) -> Snapshot:
    return Snapshot(
        attempt_id=attempt_id, sequence=sequence, step=sequence, wall_clock=at, received_at=at,
        off_grid=False, state="judged", tries=0, expected_parts=1, received_parts=1, coverage=1.0,
        learning_rates=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "over", "together"),
    [
        ([(0, 9)], "", ""),
        ([(0, 9), (10, 20)], "", ""),
        ([(0, 11), (10, 20)], "", "ab"),
        ([(0, 10), (10, 20)], "", ""),
        ([(0, 11), (10, 20)], "a", ""),
        ([(0, 5), (6, 20), (10, 12)], "", "bc"),
        ([(0, 99), (10, 12), (20, 22)], "", "abc"),
        ([(0, 99), None, (20, 22)], "", "ac"),
        ([(50, 60), (0, 9)], "", "ab"),
        ([], "", ""),
    ],
)
def test_those_are_together_of_which_one_went_on_when_a_later_had_begun(
    database: Database, fill: Fill, spans: list[Any], over: str, together: str
) -> None:
    fill(*spans, over=over)
    with database.read() as session:
        assert "".join(one.slug for one in live_together(session, 1)) == together
        attempts = session.scalars(select(Attempt).order_by(Attempt.id)).all()
        for attempt in attempts:
            others = together.replace(attempt.slug, "") if attempt.slug in together else ""
            assert "".join(beside(session, attempt)) == others
        pairs = {
            one.slug
            for first in attempts
            for later in attempts
            if first.id < later.id and trained_beside(session, first.id, later.id)
            for one in (first, later)
        }
        assert pairs >= set(together)


def test_an_answer_asks_once_however_many_train_together(database: Database, fill: Fill) -> None:
    fill(*[(0, 99)] * 20)
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    with database.read() as session:
        attempt = session.get_one(Attempt, 1)
        asked.clear()
        assert len(beside(session, attempt)) == 19
    assert len(asked) == 1
