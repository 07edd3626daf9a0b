"""A measured run taken down to the version that wrote reasons into every row, and up again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from alembic import command
from sqlalchemy import func, select, text, update

from bifurk_service.pipeline.moving_reasons import move_reasons
from bifurk_service.pipeline.removing import remove_due
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.engine import Database, Session, alembic_config
from bifurk_service.store.models import TENSOR_STATS, Base, Reasons, ReasonsToMove, Snapshot, Tensor
from bifurk_service.store.queries import statistics_of
from bifurk_service.store.reasons import move_some
from bifurk_service.store.removal import hide_run
from tests.parts import make_part
from tests.pipeline.house import House

BEFORE = "20261207_writers"
SEQUENCES = range(3)
WRITTEN_BEFORE = "UPDATE tensor_stats SET no_value = 'null' WHERE no_value IS NULL"
"""How the version before wrote that every statistic has a value."""

Answers: TypeAlias = dict[tuple[str, int], tuple[dict[str, float | None], list[tuple[str, str]]]]


def measured_house(folder: Path, database: Database | None = None) -> House:
    """With a run of three snapshots of two vectors and a matrix; a row of these has every value."""
    house = House(folder, database)
    for sequence in SEQUENCES:
        part = make_part(sequence)
        house.receive(replace(part, tensors=part.tensors[1:]))
    house.run_until("judged")
    house.pipeline.stop()
    complete = {**dict.fromkeys(STATISTIC_NAMES, 1.0), "reasons_id": None}
    with house.database.write() as session:
        row = update(TENSOR_STATS).where(TENSOR_STATS.c.tensor_id == 1, TENSOR_STATS.c.step == 0)
        session.execute(row.values(complete))
    return house


def answers(database: Database) -> Answers:
    """By tensor and step: every value, and the reasons in their order."""
    with database.read() as session:
        return {
            (tensor.name, snapshot.step): _answer(session, tensor, snapshot)
            for tensor in session.scalars(select(Tensor))
            for snapshot in session.scalars(select(Snapshot))
        }


def _answer(session: Session, tensor: Tensor, snapshot: Snapshot) -> Any:
    values, reasons = statistics_of(session, tensor, snapshot)
    assert reasons.keys() == {name for name, value in values.items() if value is None}
    return values, list(reasons.items())


def texts(database: Database) -> dict[tuple[str, int], Any]:
    """What the rows themselves hold, as the version before read it; by tensor and step."""
    query = (
        "SELECT name, step, CAST(no_value AS TEXT) FROM tensor_stats "
        "JOIN tensors ON tensors.id = tensor_id"
    )
    with database.read() as session:
        rows = session.execute(text(query)).all()
    return {(name, step): None if said is None else json.loads(said) for name, step, said in rows}


def nothing_in_rows(database: Database) -> bool:
    """Whether no row holds reasons as a text."""
    return not any(texts(database).values())


def check_it_goes_down_and_up(house: House) -> None:
    """The answers are the same at every turn."""
    database = house.database
    said = answers(database)
    reasons = {at: dict(why) or None for at, (_, why) in said.items()}
    assert None in reasons.values()
    assert sum(map(bool, reasons.values())) > len(reasons) / 2
    assert nothing_in_rows(database)
    command.downgrade(alembic_config(database.url), BEFORE)
    assert texts(database) == reasons
    with database.write() as session:
        session.execute(text(WRITTEN_BEFORE))
    database.upgrade()
    assert texts(database) == reasons, "an upgrade writes no row anew"
    assert answers(database) == said
    check_it_is_moved(database, said)
    check_what_is_written_as_before(database, said)


def check_it_is_moved(database: Database, said: Answers) -> None:
    """A little at a time, and to the end; nobody sees a difference."""
    for _ in said:
        with database.write() as session:
            move_some(session, most=1)
        assert answers(database) == said
    while count(database, ReasonsToMove):
        move_reasons(database, most_seconds=0.0)
    assert nothing_in_rows(database)
    distinct = {tuple(reasons) for _, reasons in said.values() if reasons}
    assert count(database, Reasons) == len(distinct) < len(said)
    assert count(database, ReasonsToMove) == 0


def check_what_is_written_as_before(database: Database, said: Answers) -> None:
    """By a process of the version before that has not ended yet."""
    (name, step), (_, reasons) = next(one for one in said.items() if one[1][1])
    of_row = "step = :step AND tensor_id = (SELECT id FROM tensors WHERE name = :name)"
    row = {"name": name, "step": step, "said": json.dumps(dict(reasons))}
    with database.write() as session:
        session.execute(
            text(f"UPDATE tensor_stats SET reasons_id = NULL, no_value = :said WHERE {of_row}"), row
        )
    assert answers(database) == said


def check_they_go_with_their_run(house: House) -> None:
    """A removed run leaves none."""
    assert count(house.database, Reasons) > 0
    with house.database.write() as session:
        hide_run(session, 1)
    remove_due(house.database, house.blobs, now=0.0, most_seconds=1e9)
    assert count(house.database, Reasons) == 0


def count(database: Database, table: type[Base]) -> int:
    """How many rows there are."""
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0
