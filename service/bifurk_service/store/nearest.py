"""What each tensor of an attempt had last before a step: one look at an index a tensor.

How many snapshots lie before it makes no difference, unlike with the greatest step of each group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, FromClause, Select, bindparam, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import Attempt, Tensor

AT_ONCE: Final = 5_000
"""Tensors of one query: databases bind some ten thousand values."""


def nearest_rows(
    session: Session,
    table: FromClause,
    columns: Sequence[ColumnElement[Any]],
    attempt_id: int,
    *,
    step: int,
    forward: bool = False,
    with_value: str | None = None,
    pieces: bool = False,
) -> Iterator[tuple[Any, ...]]:
    """A row a tensor: its newest at or before a step.

    Args:
        session: to read with.
        table: with ``tensor_id``, ``attempt_id`` and ``step`` as its key. columns: of it.
        attempt_id, step: where to look.
        forward: its first row from the step on instead.
        with_value: only rows in which this column has a value.
        pieces: only those of pieces of fused tensors.
    """
    by_step: dict[int, list[int]] = {}
    steps = _steps(table, forward=forward, with_value=with_value, pieces=pieces)
    for tensor_id, at in session.execute(steps, {"attempt": attempt_id, "asked": step}):
        if at is not None:
            by_step.setdefault(at, []).append(tensor_id)
    for at, ids in by_step.items():
        for start in range(0, len(ids), AT_ONCE):
            some = {"attempt": attempt_id, "at": at, "tensors": ids[start : start + AT_ONCE]}
            yield from map(tuple, session.execute(_rows(table, tuple(columns)), some))


@cache
def _rows(table: FromClause, columns: tuple[ColumnElement[Any], ...]) -> Select[Any]:
    return select(*columns).where(
        table.c.attempt_id == bindparam("attempt"),
        table.c.step == bindparam("at"),
        table.c.tensor_id.in_(bindparam("tensors", expanding=True)),
    )


@cache
def _steps(
    table: FromClause, *, forward: bool, with_value: str | None, pieces: bool
) -> Select[int, int | None]:
    """A run's tensors, each with the step of its row."""
    seen = table.alias("seen").c
    asked: BindParameter[int] = bindparam("asked")
    own = select(seen.step).where(
        seen.tensor_id == Tensor.id, seen.attempt_id == bindparam("attempt")
    )
    if with_value is not None:
        own = own.where(seen[with_value].is_not(None))
    found = (
        own.where(seen.step >= asked).order_by(seen.step)
        if forward
        else own.where(seen.step <= asked).order_by(seen.step.desc())
    )
    run = select(Attempt.run_id).where(Attempt.id == bindparam("attempt")).scalar_subquery()
    newest = found.limit(1).correlate(Tensor).scalar_subquery()
    of_run = select(Tensor.id, newest).where(Tensor.run_id == run)
    return of_run.where(Tensor.piece_of.is_not(None)) if pieces else of_run
