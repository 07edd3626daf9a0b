"""Why statistics have no value: kept once a run, and told with every row that has none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import JSON, Select, bindparam, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.models import TENSOR_STATS, Reasons, ReasonsToMove, Tensor

DIGESTS_AT_ONCE: Final = 500
"""In one query."""
ROWS_AT_ONCE: Final = 1_000
"""Whose reasons are moved in one transaction."""

TOLD: Final = func.coalesce(Reasons.document, TENSOR_STATS.c.no_value, type_=JSON).label("no_value")
"""Of a row of ``statistics_told``: why there is no value, by statistic; None where all have one."""


def statistics_told() -> Select[Any]:
    """Rows of statistics: their key, every statistic, and ``no_value``, why one is null."""
    columns = (*TENSOR_STATS.primary_key, *(TENSOR_STATS.c[name] for name in STATISTIC_NAMES))
    return select(*columns, TOLD).outerjoin_from(
        TENSOR_STATS, Reasons, Reasons.id == TENSOR_STATS.c.reasons_id
    )


def reasons_ids(
    session: Session, run_id: int, reasons: Iterable[Mapping[str, str] | None]
) -> list[int | None]:
    """For each of some rows of a run the id of its reasons, None where it has none.

    Those that are new to the run are added. Whoever adds the same at once waits, and finds it.
    """
    texts: dict[tuple[tuple[str, str], ...], str] = {(): ""}
    of_rows = [tuple((one or {}).items()) for one in reasons]
    for pairs in of_rows:
        if pairs not in texts:
            texts[pairs] = json.dumps(dict(pairs))
    ids = _ids_of(session, run_id, set(texts.values()))
    return [ids[texts[pairs]] for pairs in of_rows]


def _ids_of(session: Session, run_id: int, texts: Iterable[str]) -> dict[str, int | None]:
    """Ids by the documents' text, None for an empty one."""
    digests = {hashlib.sha256(text.encode()).hexdigest(): text for text in texts if text}
    known = _known(session, run_id, sorted(digests))
    # In one order everywhere: two who add several never wait for each other.
    missing = sorted(digests.keys() - known.keys())
    if missing:
        made = [
            {"run_id": run_id, "digest": digest, "document": json.loads(digests[digest])}
            for digest in missing
        ]
        on_sqlite = session.get_bind().dialect.name == "sqlite"
        insert = sqlite.insert if on_sqlite else postgresql.insert
        session.execute(insert(Reasons).on_conflict_do_nothing(), made)
        known |= _known(session, run_id, missing)
    return {"": None, **{text: known[digest] for digest, text in digests.items()}}


def _known(session: Session, run_id: int, digests: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for first in range(0, len(digests), DIGESTS_AT_ONCE):
        some = digests[first : first + DIGESTS_AT_ONCE]
        query = select(Reasons.digest, Reasons.id)
        rows = session.execute(query.where(Reasons.run_id == run_id, Reasons.digest.in_(some)))
        found.update(rows.all())
    return found


def any_to_move(session: Session) -> bool:
    """Whether rows may still hold reasons as an earlier version wrote them."""
    return session.scalar(select(ReasonsToMove.tensor_id).limit(1)) is not None


def move_some(session: Session, *, most: int = ROWS_AT_ONCE) -> bool:
    """Puts the reasons in at most so many rows where this version has them.

    They stay as they are, word for word.

    Returns:
        Whether there may be more to do.
    """
    while most > 0:
        tensor = session.scalar(select(ReasonsToMove).order_by(ReasonsToMove.tensor_id).limit(1))
        if tensor is None:
            return False
        looked_at = _move_of(session, tensor, most)
        if looked_at < most:
            session.delete(tensor)
        session.flush()
        most -= max(1, looked_at)
    return True


def _move_of(session: Session, tensor: ReasonsToMove, most: int) -> int:
    """Moves those in the next rows of one tensor, so many or to the last; how many rows there were.

    Rows without a text count too: however many there are, nobody waits for one long look.
    """
    table = TENSOR_STATS.c
    rows = session.execute(
        select(table.attempt_id, table.step, table.no_value)
        .where(
            table.tensor_id == tensor.tensor_id,
            tuple_(table.attempt_id, table.step) > (tensor.attempt_id, tensor.step),
        )
        .order_by(table.attempt_id, table.step)
        .limit(most)
    ).all()
    if rows:
        _move(session, tensor.tensor_id, [row for row in rows if row.no_value])
        tensor.attempt_id, tensor.step = rows[-1].attempt_id, rows[-1].step
    return len(rows)


def _move(session: Session, tensor_id: int, rows: Sequence[Any]) -> None:
    if not rows:
        return
    run_id = session.scalars(select(Tensor.run_id).where(Tensor.id == tensor_id)).one()
    texts = [json.dumps(row.no_value) for row in rows]
    ids = _ids_of(session, run_id, set(texts))
    table = TENSOR_STATS.c
    of_row = (
        table.tensor_id == tensor_id,
        table.attempt_id == bindparam("of_attempt"),
        table.step == bindparam("at_step"),
    )
    session.execute(
        update(TENSOR_STATS).where(*of_row).values(no_value=None, reasons_id=bindparam("reasons")),
        [
            {"of_attempt": row.attempt_id, "at_step": row.step, "reasons": ids[text]}
            for row, text in zip(rows, texts, strict=True)
        ],
    )
