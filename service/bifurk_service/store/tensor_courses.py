"""What a tensor's page reads over steps: snapshots of a course, and the leading singular values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, func, select, true
from sqlalchemy.orm import Session

from bifurk_service.store.models import TENSOR_STATS, Snapshot, SpectrumRow, StoredPart
from bifurk_service.store.spectra import VALUES
from bifurk_service.store.timeline import Stretch, timeline

AT_ONCE = 500
"""Steps that one query names; SQLite takes some thousands."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeadingValues:
    """The largest singular values of one matrix at one step, and the fits.

    Attributes:
        values: float64 [at most k], descending. document: as ``StoredSpectrum`` has it.
    """

    step: int
    values: NDArray[np.float64]
    document: Mapping[str, Any]


def course_step(session: Session, run_id: int, tensor_id: int, asked: int | None) -> int | None:
    """The last step of a run's course at or before one that has a tensor; else its first.

    None where no step has it; the very last where none is asked for.
    """
    stretches = timeline(session, run_id)[::-1]
    table = TENSOR_STATS.c
    for is_before in (True, False):
        found = [
            session.scalar(
                select(func.max(table.step) if is_before else func.min(table.step)).where(
                    table.tensor_id == tensor_id,
                    table.attempt_id == stretch.attempt_id,
                    true() if last is None else table.step <= last,
                )
            )
            for stretch in stretches
            for last in [stretch.last_step(asked if is_before else None)]
        ]
        known = [int(step) for step in found if step is not None]
        if known:
            return max(known) if is_before else min(known)
    return None


def course_snapshots(session: Session, run_id: int, steps: Sequence[int]) -> dict[int, Snapshot]:
    """The measured snapshots of a run's course at these steps, by step; some may be missing."""
    found: dict[int, Snapshot] = {}
    for stretch in timeline(session, run_id):
        for some in _some(_within(steps, stretch)):
            query = select(Snapshot).where(
                Snapshot.attempt_id == stretch.attempt_id,
                Snapshot.step.in_(some),
                Snapshot.measured_at.is_not(None),
            )
            found.update((snapshot.step, snapshot) for snapshot in session.scalars(query))
    return found


def stored_bytes(session: Session, snapshot_ids: Sequence[int]) -> int:
    """Bytes of all stored parts of some snapshots."""
    return sum(
        session.scalar(
            select(func.coalesce(func.sum(StoredPart.blob_bytes), 0)).where(
                StoredPart.snapshot_id.in_(some)
            )
        )
        or 0
        for some in _some(snapshot_ids)
    )


def course_spectrum_steps(session: Session, run_id: int, tensor_id: int) -> list[int]:
    """Steps of a run's course at which a tensor has a spectrum, ascending."""
    return [
        step
        for stretch in timeline(session, run_id)
        for step in session.scalars(
            _of_stretch(select(SpectrumRow.step), tensor_id, stretch).order_by(SpectrumRow.step)
        )
    ]


def leading_values(
    session: Session, run_id: int, tensor_id: int, steps: Sequence[int], *, count: int
) -> list[LeadingValues]:
    """The ``count`` largest singular values at these steps of a run's course, by step."""
    columns = (
        SpectrumRow.step,
        func.substr(SpectrumRow.singular_values, 1, VALUES.itemsize * count),
        SpectrumRow.document,
    )
    return [
        LeadingValues(step=step, values=np.frombuffer(values, dtype=VALUES), document=document)
        for stretch in timeline(session, run_id)
        for some in _some(_within(steps, stretch))
        for step, values, document in session.execute(
            _of_stretch(select(*columns), tensor_id, stretch)
            .where(SpectrumRow.step.in_(some))
            .order_by(SpectrumRow.step)
        )
    ]


def _of_stretch(query: Select[Any], tensor_id: int, stretch: Stretch) -> Select[Any]:
    query = query.where(
        SpectrumRow.tensor_id == tensor_id, SpectrumRow.attempt_id == stretch.attempt_id
    )
    return query if stretch.end is None else query.where(SpectrumRow.step < stretch.end)


def _within(steps: Sequence[int], stretch: Stretch) -> list[int]:
    return [step for step in steps if stretch.holds(step)]


def _some(every: Sequence[int]) -> list[list[int]]:
    return [list(every[at : at + AT_ONCE]) for at in range(0, len(every), AT_ONCE)]
