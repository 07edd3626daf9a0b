"""What a small snapshot asks of the database, from its receipt until it is judged."""

from __future__ import annotations

from collections import Counter
from typing import Final

from sqlalchemy import event

from tests.parts import make_part
from tests.pipeline.house import AtOnce, House

MOST_STATEMENTS: Final = 62
"""With full values that are deleted; each costs the serving process a third of a millisecond."""


def test_a_snapshot_takes_few_statements(house: House) -> None:
    house.executor = lambda _: AtOnce()
    house.pipeline = house.new_pipeline()
    for sequence in range(3):
        house.receive(make_part(sequence))
        house.run_until("judged")
    asked: Counter[str] = Counter()
    event.listen(house.database.engine, "before_cursor_execute", lambda *a: asked.update([a[2]]))
    house.receive(make_part(3))
    house.pipeline.advance()
    house.pipeline.advance()
    assert house.states() == ["judged"] * 4
    own = {text: times for text, times in asked.items() if not text.startswith("BEGIN")}
    assert sum(own.values()) <= MOST_STATEMENTS, own
