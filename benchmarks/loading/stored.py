"""A run made long inside the database: the rows that the pipeline left of its last snapshot, again.

Whatever a judged snapshot leaves is copied with the next sequences and steps: its row, receipts,
statistics, scalars, profile, spectra and event. So the shape is the pipeline's own, and only the
values stand still. Then the copies are condensed, as housekeeping does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import CTE, ColumnElement, Table, func, insert, literal, null, select, text, update
from sqlalchemy import cast as as_type

from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    DetectorState,
    Event,
    ProfileValue,
    SeriesPoint,
    Snapshot,
    SpectrumRow,
    StoredPart,
    Tensor,
)

ROWS_AT_ONCE: Final = 100_000
MOST_COPIED: Final = 1 << 30
BY_STEP: Final = (
    TENSOR_STATS,
    SeriesPoint.__table__,
    ProfileValue.__table__,
    SpectrumRow.__table__,
)


def lengthen(database: Database, attempt_id: int, length: int) -> None:
    """Makes an attempt whose snapshots are all judged this many snapshots long."""
    with database.read() as session:
        attempt = session.get_one(Attempt, attempt_id)
        count = select(func.count()).select_from(Tensor).where(Tensor.run_id == attempt.run_id)
        most = max(1, ROWS_AT_ONCE // max(1, session.scalar(count) or 0))
    while True:
        with database.write() as session:
            attempt = session.get_one(Attempt, attempt_id)
            missing = length - (attempt.last_sequence or 0) - 1
            if missing <= 0:
                break
            _append(session, attempt, min(missing, most))
    condense_due(database, most_seconds=math.inf)
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


def _append(session: Session, attempt: Attempt, count: int) -> None:
    last = session.scalars(
        select(Snapshot).where(
            Snapshot.attempt_id == attempt.id, Snapshot.sequence == attempt.last_sequence
        )
    ).one()
    if last.state != "judged" or last.previous_step is None:
        raise ValueError(f"the last snapshot is {last.state}; only one judged in turn is copied")
    every = last.step - last.previous_step
    n = _numbers(count)
    step = last.step + every * n.c.n
    _copy(
        session, Snapshot.__table__, n, Snapshot.id == last.id,
        {"sequence": last.sequence + n.c.n, "step": step, "previous_step": step - every},
    )  # fmt: skip
    for table in BY_STEP:
        of_last = (table.c.attempt_id == attempt.id) & (table.c.step == last.step)
        _copy(session, table, n, of_last, {"step": step})
    newest = select(func.max(Event.id)).where(Event.run_id == attempt.run_id)
    _copy(session, Event.__table__, n, Event.id == newest.scalar_subquery(), {})
    _copy_parts(session, attempt, last)
    session.execute(
        update(DetectorState)
        .where(DetectorState.attempt_id == attempt.id)
        .values(sequence=last.sequence + count)
    )
    attempt.cursor = attempt.last_sequence = last.sequence + count
    attempt.last_step = last.step + every * count


def _copy_parts(session: Session, attempt: Attempt, last: Snapshot) -> None:
    """A receipt for each new snapshot, with a blob's key of its own; the blobs are not made."""
    new = select(Snapshot.id.label("id"), Snapshot.sequence.label("sequence")).where(
        Snapshot.attempt_id == attempt.id, Snapshot.sequence > last.sequence
    )
    of_new = new.subquery("new")
    part = StoredPart.__table__
    _copy(
        session, part, of_new, part.c.snapshot_id == last.id,
        {
            "snapshot_id": of_new.c.id,
            "blob_key": literal(f"load/{attempt.id}/")
            + as_type(of_new.c.sequence, part.c.digest.type),
            "stale_key": null(),
            "stale_encoding": null(),
        },
    )  # fmt: skip


def _copy(
    session: Session,
    table: Table,
    times: Any,
    where: ColumnElement[bool],
    changed: Mapping[str, Any],
) -> None:
    names = [column.name for column in table.columns if column.name != "id"]
    # With a limit they are looked up once, and not again for each copy.
    copied = select(*(table.c[name] for name in names)).where(where).limit(MOST_COPIED)
    one = copied.subquery("one")
    chosen = [changed.get(name, one.c[name]) for name in names]
    rows = select(*chosen).select_from(one.join(times, literal(1) == 1))
    session.execute(insert(table).from_select(names, rows))


def _numbers(count: int) -> CTE:
    """1, 2, ..., count."""
    first = select(literal(1).label("n")).cte("numbers", recursive=True)
    return first.union_all(select(first.c.n + 1).where(first.c.n < count))
