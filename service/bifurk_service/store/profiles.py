"""Statistics across layers: what they are computed from, and their series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bifurk_service.stats.layers.profile import ProfileTensor
from bifurk_service.stats.layers.profile import ProfileValue as MeasuredProfileValue
from bifurk_service.stats.value import NoValue
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    ProfileValue,
    Snapshot,
    Tensor,
)
from bifurk_service.store.nearest import nearest_rows
from bifurk_service.store.spectra import nearest_singular_values
from bifurk_service.store.timeline import timeline

INPUTS: Final = ("std", "std_ratio_to_first", "displacement_std")
"""Statistics of single tensors that profiles are made of."""
_KEPT: Final = insert(ProfileValue).execution_options(render_nulls=True)


def profile_tensors(
    session: Session, attempt_id: int, step: int, *, forward: bool = False
) -> list[ProfileTensor]:
    """What profiles are made of at a step of an attempt, in the order of the model.

    A piece of a fused tensor has the statistics of the newest step at or before this one at which
    its values came; so has every spectrum.

    Args:
        session: to read with. attempt_id, step: of a measured snapshot.
        forward: for spectra and pieces take the first step from this one on instead: what the
            attempt began with.
    """
    rows = session.execute(
        select(Tensor.id, Tensor.name, Tensor.layer, Tensor.role)
        .join(Attempt, Attempt.run_id == Tensor.run_id)
        .where(Attempt.id == attempt_id)
        .order_by(Tensor.id)
    ).all()
    values = _piece_values(session, attempt_id, step, forward=forward)
    values |= {one: known for one, known in _values_at(session, attempt_id, step).items() if known}
    spectra = nearest_singular_values(session, attempt_id, step=step, forward=forward)
    return [
        ProfileTensor(
            name=name,
            layer=layer,
            role=role,
            values=values[tensor_id],
            singular_values=spectra.get(tensor_id),
        )
        for tensor_id, name, layer, role in rows
        if values.get(tensor_id)
    ]


def first_measured_step(session: Session, attempt_id: int) -> int | None:
    """The step that changes since the first are measured against, or the next one measured."""
    return session.scalar(
        select(Snapshot.step)
        .join(Attempt, Attempt.id == Snapshot.attempt_id)
        .where(
            Attempt.id == attempt_id,
            Snapshot.sequence >= Attempt.first_sequence,
            Snapshot.off_grid.is_(False),
            Snapshot.measured_at.is_not(None),
        )
        .order_by(Snapshot.sequence)
        .limit(1)
    )


def keep_profile(
    session: Session, snapshot: Snapshot, values: Sequence[MeasuredProfileValue]
) -> None:
    """Stores a snapshot's statistics across layers."""
    rows = [
        {
            "attempt_id": snapshot.attempt_id,
            "step": snapshot.step,
            "role": one.role,
            "name": one.name,
            "value": None if isinstance(one.value, NoValue) else one.value,
            "no_value": one.value.reason if isinstance(one.value, NoValue) else None,
        }
        for one in values
    ]
    if rows:
        # In one statement: the ORM would make one of each stretch of rows with the same nulls.
        session.execute(_KEPT, rows)


def profile_series(
    session: Session,
    run_id: int,
    name: str,
    role: str | None = None,
    attempt: str | None = None,
) -> list[tuple[str, NDArray[np.int64], NDArray[np.float64]]]:
    """One statistic across layers over a run's timeline: role, steps [N], values [N], NaN without.

    With ``attempt``, what that one saw.

    Roles are in alphabetical order; the whole model's is the empty one.
    """
    found: dict[str, list[tuple[int, float | None]]] = {}
    for stretch in timeline(session, run_id, attempt):
        query = (
            select(ProfileValue.role, ProfileValue.step, ProfileValue.value)
            .where(ProfileValue.attempt_id == stretch.attempt_id, ProfileValue.name == name)
            .order_by(ProfileValue.role, ProfileValue.step)
        )
        if role is not None:
            query = query.where(ProfileValue.role == role)
        if stretch.end is not None:
            query = query.where(ProfileValue.step < stretch.end)
        for of_role, step, value in session.execute(query):
            found.setdefault(of_role, []).append((step, value))
    return [
        (
            of_role,
            np.array([step for step, _ in points], dtype=np.int64),
            np.array([value for _, value in points], dtype=np.float64),
        )
        for of_role, points in sorted(found.items())
    ]


def _values_at(session: Session, attempt_id: int, step: int) -> dict[int, dict[str, float]]:
    columns = [TENSOR_STATS.c[name] for name in INPUTS]
    rows = session.execute(
        select(TENSOR_STATS.c.tensor_id, *columns).where(
            TENSOR_STATS.c.attempt_id == attempt_id, TENSOR_STATS.c.step == step
        )
    )
    return {tensor_id: _known(values) for tensor_id, *values in rows}


def _piece_values(
    session: Session, attempt_id: int, step: int, *, forward: bool
) -> dict[int, dict[str, float]]:
    """Of the pieces of fused tensors, at the nearest step that has them."""
    table = TENSOR_STATS.c
    rows = nearest_rows(
        session,
        TENSOR_STATS,
        (table.tensor_id, *(table[name] for name in INPUTS)),
        attempt_id,
        step=step,
        forward=forward,
        pieces=True,
    )
    return {tensor_id: _known(values) for tensor_id, *values in rows}


def _known(values: Sequence[float | None]) -> dict[str, float]:
    return {
        name: value
        for name, value in zip(INPUTS, values, strict=True)
        if value is not None and math.isfinite(value)
    }
