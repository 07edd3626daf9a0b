"""What the sums of attempts must be, by counting."""

from __future__ import annotations

import random
from typing import Any

from sqlalchemy import case, delete, func, insert, literal_column, select, update
from sqlalchemy.orm import Session

from bifurk_service.store.engine import Database
from bifurk_service.store.models import (
    Attempt,
    AttemptSums,
    ExtremesRow,
    KeptExtremesRow,
    Snapshot,
    SpectrumRow,
    StoredPart,
    Tensor,
)
from tests.written_run import SNAPSHOT

STATES = ("received", "measured", "judged", "late", "failed")

Row = dict[str, Any]


def check_sums(database: Database) -> None:
    """Raises unless every attempt's sums are what is counted, and no other sums are there."""
    with database.read() as session:
        check_sums_in(session)


def check_sums_in(session: Session) -> None:
    """The same of what a transaction sees."""
    columns = [getattr(AttemptSums, name) for name in ("attempt_id", *_NAMES)]
    kept = {
        attempt_id: dict(zip(_NAMES, sums, strict=True))
        for attempt_id, *sums in session.execute(select(*columns))
    }
    assert kept == {one: _counted(session, one) for one in session.scalars(select(Attempt.id))}


_NAMES = [column.name for column in AttemptSums.__table__.columns if column.name != "attempt_id"]


def _counted(session: Session, attempt_id: int) -> Row:
    own = Snapshot.attempt_id == attempt_id

    def number(*conditions: Any) -> int:
        return session.scalar(select(func.count()).select_from(Snapshot).where(own, *conditions))

    def total(value: Any, *conditions: Any) -> int:
        return int(session.scalar(select(func.sum(value)).where(*conditions)) or 0)

    found = {state: number(Snapshot.state == state) for state in STATES}
    blobs = StoredPart.blob_bytes + func.coalesce(StoredPart.stale_bytes, 0)
    return found | {
        "snapshots": number(),
        "judged_on_grid": number(Snapshot.state == "judged", Snapshot.off_grid.is_(False)),
        "with_values": number(Snapshot.measured_at.is_not(None)),
        "whole": number(Snapshot.measured_at.is_not(None), Snapshot.thinned == 0),
        "blob_bytes": total(blobs, StoredPart.snapshot_id.in_(select(Snapshot.id).where(own))),
        "spectra": total(literal_column("1"), SpectrumRow.attempt_id == attempt_id),
        "spectrum_bytes": total(
            func.length(SpectrumRow.singular_values), SpectrumRow.attempt_id == attempt_id
        ),
        "extremes_bytes": sum(
            total(func.length(column), column.class_.attempt_id == attempt_id)
            for column in (ExtremesRow.data, ExtremesRow.places, KeptExtremesRow.data)
        ),
    }


def change_at_random(
    session: Session, attempts: list[int], tensor: Tensor, seed: int, *, older: bool = False
) -> None:
    """A dozen changes of every kind, many rows in a statement, rows of several attempts in one.

    Args:
        older: whether the schema is that of before: without what it had differently.
    """
    rng = random.Random(seed)
    for _ in range(12):
        rng.choice(_CHANGES[: -1 if older else None])(session, attempts, tensor, rng)


def _add_snapshots(session: Session, attempts: list[int], _: Tensor, rng: random.Random) -> None:
    last = session.scalar(select(func.max(Snapshot.sequence))) or 0
    session.execute(
        insert(Snapshot),
        [
            {
                **SNAPSHOT,
                "attempt_id": rng.choice(attempts),
                "sequence": last + place,
                "step": last + place,
                "state": rng.choice(STATES),
                "off_grid": rng.random() < 0.3,
                "measured_at": rng.choice((None, 1.0)),
            }
            for place in range(1, rng.randint(2, 9))
        ],
    )


def _change_snapshots(session: Session, *rest: Any) -> None:
    rng = rest[-1]
    changed = {
        "state": rng.choice(STATES),
        "off_grid": rng.random() < 0.5,
        "measured_at": rng.choice((None, 2.0)),
        "thinned": rng.choice((0, 1, 2)),
        "tries": 1,
    }
    name = rng.choice(list(changed))
    session.execute(update(Snapshot).where(_some(rng)).values({name: changed[name]}))


def _delete_snapshots(session: Session, *rest: Any) -> None:
    session.execute(delete(Snapshot).where(_some(rest[-1])))


def _add_parts(session: Session, *rest: Any) -> None:
    rng = rest[-1]
    without = select(Snapshot.id).where(_some(rng), Snapshot.id.not_in(_with_parts()))
    rows = [
        {
            "snapshot_id": one,
            "rank": 0,
            "digest": "0",
            "encoding": "zstd",
            "blob_key": f"k{one}",
            "blob_bytes": rng.randint(0, 99),
            "stale_bytes": rng.choice((None, 7)),
        }
        for one in session.scalars(without)
    ]
    if rows:
        session.execute(insert(StoredPart), rows)


def _with_parts() -> Any:
    return select(StoredPart.snapshot_id)


def _change_parts(session: Session, *rest: Any) -> None:
    rng = rest[-1]
    own = StoredPart.snapshot_id % rng.randint(1, 4) == 0
    stale = case((StoredPart.stale_bytes.is_(None), 5))
    session.execute(
        update(StoredPart).where(own).values(blob_bytes=rng.randint(0, 9), stale_bytes=stale)
    )


def _delete_parts(session: Session, *rest: Any) -> None:
    session.execute(delete(StoredPart).where(StoredPart.id % rest[-1].randint(2, 4) == 0))


def _spectra(session: Session, attempts: list[int], tensor: Tensor, rng: random.Random) -> None:
    attempt_id = rng.choice(attempts)
    own = (SpectrumRow.attempt_id == attempt_id) & (SpectrumRow.step % rng.randint(1, 3) == 0)
    session.execute(delete(SpectrumRow).where(own))
    known = set(session.scalars(select(SpectrumRow.step)))
    row = {"tensor_id": tensor.id, "attempt_id": attempt_id, "rows": 1, "columns": 1}
    values = {"document": {}, "singular_values": b"x" * rng.randint(0, 99)}
    steps = [step for step in range(rng.randint(1, 20)) if step not in known]
    if steps:
        session.execute(insert(SpectrumRow), [{**row, **values, "step": one} for one in steps])


def _extremes(session: Session, attempts: list[int], _: Tensor, rng: random.Random) -> None:
    table, level = rng.choice(((ExtremesRow, "level"), (KeptExtremesRow, "stage")))
    own = table.attempt_id == rng.choice(attempts)
    session.execute(delete(table).where(own))
    row = {"attempt_id": attempts[0], level: rng.randint(10, 1 << 40), "block": 0}
    data = b"x" * rng.randint(0, 99)
    session.execute(insert(table), [{**row, "statistic": one, "data": data} for one in ("a", "b")])
    session.execute(update(table).where(table.statistic == "a").values(data=data * 2))
    session.execute(update(ExtremesRow).values(places=b"x" * rng.randint(0, 9)))


def _some(rng: random.Random) -> Any:
    return Snapshot.sequence % rng.randint(1, 5) == rng.randint(0, 1)


_CHANGES = (
    _add_snapshots,
    _add_snapshots,
    _change_snapshots,
    _change_snapshots,
    _delete_snapshots,
    _add_parts,
    _add_parts,
    _change_parts,
    _delete_parts,
    _spectra,
    _extremes,
)
