"""What each tensor of an attempt had last before a step: one look at an index a tensor.

How many snapshots lie before it makes no difference, unlike with the greatest step of each group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, ScalarSelect, select
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
    only: ColumnElement[bool] | None = None,
) -> Iterator[tuple[Any, ...]]:
    """A row a tensor: its newest at or before a step.

    Args:
        session: to read with.
        table: with ``tensor_id``, ``attempt_id`` and ``step`` as its key. columns: of it.
        attempt_id, step: where to look.
        forward: its first row from the step on instead.
        with_value: only rows in which this column has a value.
        only: which tensors.
    """
    by_step: dict[int, list[int]] = {}
    steps = _steps(table, attempt_id, step=step, forward=forward, with_value=with_value)
    tensors = select(Tensor.id, steps).where(Tensor.run_id == _run_of(attempt_id))
    for tensor_id, at in session.execute(tensors if only is None else tensors.where(only)):
        if at is not None:
            by_step.setdefault(at, []).append(tensor_id)
    for at, ids in by_step.items():
        for start in range(0, len(ids), AT_ONCE):
            rows = session.execute(
                select(*columns).where(
                    table.c.attempt_id == attempt_id,
                    table.c.step == at,
                    table.c.tensor_id.in_(ids[start : start + AT_ONCE]),
                )
            )
            yield from map(tuple, rows)


def _steps(
    table: FromClause, attempt_id: int, *, step: int, forward: bool, with_value: str | None
) -> ScalarSelect[int]:
    seen = table.alias("seen").c
    own = select(seen.step).where(seen.tensor_id == Tensor.id, seen.attempt_id == attempt_id)
    if with_value is not None:
        own = own.where(seen[with_value].is_not(None))
    found = (
        own.where(seen.step >= step).order_by(seen.step)
        if forward
        else own.where(seen.step <= step).order_by(seen.step.desc())
    )
    return found.limit(1).correlate(Tensor).scalar_subquery()


def _run_of(attempt_id: int) -> ScalarSelect[int]:
    return select(Attempt.run_id).where(Attempt.id == attempt_id).scalar_subquery()
