"""Series computed elsewhere: kept like measured ones, so that detectors watch them alike."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bifurk.layout import layout_of
from bifurk_service.domain import AttemptState
from bifurk_service.errors import ConflictError, InvalidError
from bifurk_service.stats.registry import BY_NAME, Family, Nature, Statistic
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    ImportedStatistic,
    ImportedValue,
    Snapshot,
    Tensor,
)
from bifurk_service.store.runs import attempt_of, get_run
from bifurk_service.store.series import StatisticSeries
from bifurk_service.store.snapshots import MEASURED

IMPORT: Final = "import"
"""Slug of the attempt that imported series belong to, and its source."""
MOST_STATISTICS: Final = 200
"""Of its own, that one run may bring; each is watched by every detector of series."""


class PointLike(Protocol):
    """A value of a statistic of a tensor at a step; NaN without one."""

    @property
    def step(self) -> int: ...  # noqa: D102 - see the class, here and below
    @property
    def tensor(self) -> str: ...  # noqa: D102
    @property
    def statistic(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """How a statistic that is not in the table moves when nothing happens."""

    nature: Nature = Nature.INTEGRATED
    log_scale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of an import: how many points were new, over how many new steps."""

    points: int
    new_points: int
    new_steps: int
    first_step: int
    last_step: int


Key = tuple[str, str]
"""Tensor and statistic."""


def keep_points(
    session: Session,
    run_id: int,
    points: Iterable[PointLike],
    *,
    described: Mapping[str, Described],
    now: float,
) -> Imported:
    """Stores points of one run; those that are stored already change nothing.

    A step counts as complete with the import that brings it: detectors look at it once. So later
    imports go on behind the last step, or repeat what is there.

    Args:
        session: to write with. run_id: a run without snapshots of its own.
        points: at least one, in any order.
        described: of statistics outside the table, by name; others are taken for integrated.
        now: seconds since 1970 UTC.

    Raises:
        ConflictError: the run has a client's snapshots, a stored value is another, or a step lies
            before the last one.
        InvalidError: no point, or two values for one place.
    """
    by_step = _by_step(points)
    attempt = _attempt(session, run_id, now=now)
    names = {statistic for values in by_step.values() for _, statistic in values}
    statistics = _statistics(session, run_id, names - BY_NAME.keys(), described)
    tensors = _tensors(session, run_id, {t for values in by_step.values() for t, _ in values})
    last = attempt.last_step if attempt.last_step is not None else -1
    new = [step for step in sorted(by_step) if step > last]
    for step in sorted(by_step):
        if step <= last:
            _check_same(session, attempt, step, by_step[step], statistics, tensors)
    for step in new:
        _keep_step(session, attempt, step, by_step[step], statistics, tensors, now=now)
    return Imported(
        points=sum(map(len, by_step.values())),
        new_points=sum(len(by_step[step]) for step in new),
        new_steps=len(new),
        first_step=min(by_step),
        last_step=max(by_step),
    )


def imported_statistics(session: Session, run_id: int) -> tuple[Statistic, ...]:
    """The statistics a run has brought that are not in the table, in the order they came."""
    rows = session.scalars(
        select(ImportedStatistic)
        .where(ImportedStatistic.run_id == run_id)
        .order_by(ImportedStatistic.id)
    )
    return tuple(
        Statistic(
            name=row.name,
            family=Family.IMPORTED,
            nature=Nature(row.nature),
            unit="as imported",
            formula="as imported",
            meaning="computed elsewhere",
            log_scale=row.log_scale,
        )
        for row in rows
    )


def imported_at(
    session: Session, snapshot: Snapshot, tensor_ids: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """A run's own statistics at a snapshot, by name: float64 [T], NaN without a value."""
    place = {tensor_id: index for index, tensor_id in enumerate(tensor_ids)}
    rows = session.execute(
        select(ImportedStatistic.name, ImportedValue.tensor_id, ImportedValue.value)
        .join(ImportedStatistic, ImportedStatistic.id == ImportedValue.statistic_id)
        .where(ImportedValue.attempt_id == snapshot.attempt_id, ImportedValue.step == snapshot.step)
    )
    values: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.full(len(place), np.nan))
    for name, tensor_id, value in rows:
        if tensor_id in place and value is not None:
            values[name][place[tensor_id]] = value
    return dict(values)


def imported_series(
    session: Session,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    first_step: int | None = None,
    last_step: int | None = None,
) -> list[StatisticSeries]:
    """The series of one of a run's own statistics between two steps, both included."""
    query = (
        select(ImportedValue.tensor_id, ImportedValue.step, ImportedValue.value)
        .join(ImportedStatistic, ImportedStatistic.id == ImportedValue.statistic_id)
        .where(ImportedStatistic.run_id == run_id, ImportedStatistic.name == statistic)
        .order_by(ImportedValue.step)
    )
    if first_step is not None:
        query = query.where(ImportedValue.step >= first_step)
    if last_step is not None:
        query = query.where(ImportedValue.step <= last_step)
    courses: dict[int, list[tuple[int, float]]] = {tensor_id: [] for tensor_id in tensor_ids}
    for tensor_id, step, value in session.execute(query):
        if tensor_id in courses:
            courses[tensor_id].append((step, math.nan if value is None else value))
    return [
        StatisticSeries(
            tensor_id=tensor_id,
            steps=np.array([step for step, _ in course], dtype=np.int64),
            values=np.array([value for _, value in course], dtype=np.float64),
        )
        for tensor_id, course in courses.items()
    ]


def _by_step(points: Iterable[PointLike]) -> dict[int, dict[Key, float]]:
    found: dict[int, dict[Key, float]] = defaultdict(dict)
    for point in points:
        place = (point.tensor, point.statistic)
        known = found[point.step].setdefault(place, point.value)
        if not _same(known, point.value):
            raise InvalidError(
                f"{point.statistic} of {point.tensor} at step {point.step} is given twice: "
                f"{known} and {point.value}"
            )
    if not found:
        raise InvalidError("an import has at least one point, got none")
    return found


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _attempt(session: Session, run_id: int, *, now: float) -> Attempt:
    attempts = list(session.scalars(select(Attempt).where(Attempt.run_id == run_id)))
    foreign = [attempt.slug for attempt in attempts if attempt.source != IMPORT]
    if foreign:
        raise ConflictError(
            f"run {run_id} has snapshots of its own (attempt {foreign[0]}); import series into a "
            "run of their own: POST /api/v1/runs makes one"
        )
    if attempts:
        return attempt_of(session, get_run(session, run_id), IMPORT, now=now)
    attempt = attempt_of(session, get_run(session, run_id), IMPORT, now=now)
    attempt.source, attempt.state, attempt.ended_at = IMPORT, AttemptState.FINISHED.value, now
    return attempt


def _statistics(
    session: Session, run_id: int, names: Collection[str], described: Mapping[str, Described]
) -> dict[str, int]:
    """Ids of a run's own statistics by name; those that are new, or described, are added."""
    in_table = sorted(described.keys() & BY_NAME.keys())
    if in_table:
        raise InvalidError(f"{in_table[0]} is in the table of statistics, which describes it")
    known = {
        row.name: row
        for row in session.scalars(
            select(ImportedStatistic).where(ImportedStatistic.run_id == run_id)
        )
    }
    for name in sorted({*names, *described}):
        wanted = described.get(name)
        if name in known:
            stored = Described(nature=Nature(known[name].nature), log_scale=known[name].log_scale)
            if wanted is not None and wanted != stored:
                raise ConflictError(
                    f"{name} is stored as {stored.nature.value}"
                    f"{', on the logarithm' if stored.log_scale else ''}; that never changes"
                )
            continue
        wanted = wanted or Described()
        known[name] = ImportedStatistic(
            run_id=run_id, name=name, nature=wanted.nature.value, log_scale=wanted.log_scale
        )
        session.add(known[name])
    if len(known) > MOST_STATISTICS:
        raise InvalidError(
            f"a run brings at most {MOST_STATISTICS} statistics of its own, these make {len(known)}"
        )
    session.flush()
    return {name: row.id for name, row in known.items()}


def _tensors(session: Session, run_id: int, names: Collection[str]) -> dict[str, int]:
    """Ids of the run's tensors by name; those that are new are added, by what their names say."""
    known = {
        tensor.name: tensor
        for tensor in session.scalars(select(Tensor).where(Tensor.run_id == run_id))
    }
    for name in sorted(set(names) - known.keys()):
        layout = layout_of(name, ())
        known[name] = Tensor(
            run_id=run_id, name=name, layer=layout.layer, role=layout.role, shape=[], dtype=""
        )
        session.add(known[name])
    session.flush()
    return {name: tensor.id for name, tensor in known.items()}


def _keep_step(
    session: Session,
    attempt: Attempt,
    step: int,
    values: Mapping[Key, float],
    statistics: Mapping[str, int],
    tensors: Mapping[str, int],
    *,
    now: float,
) -> None:
    sequence = 0 if attempt.last_sequence is None else attempt.last_sequence + 1
    session.add(
        Snapshot(
            attempt_id=attempt.id,
            sequence=sequence,
            step=step,
            previous_step=attempt.last_step,
            off_grid=False,
            state=MEASURED,
            tries=0,
            expected_parts=0,
            received_parts=0,
            coverage=1.0,
            wall_clock=now,
            received_at=now,
            measured_at=now,
            learning_rates=[],
        )
    )
    attempt.last_sequence, attempt.last_step = sequence, step
    rows: dict[int, dict[str, Any]] = {}
    own = []
    for (tensor, statistic), value in values.items():
        tensor_id, stored = tensors[tensor], None if math.isnan(value) else value
        row = rows.setdefault(
            tensor_id, {"tensor_id": tensor_id, "attempt_id": attempt.id, "step": step}
        )
        if statistic in BY_NAME:
            row[statistic] = stored
        else:
            place = {"statistic_id": statistics[statistic], "value": stored}
            own.append({**place, "tensor_id": tensor_id, "attempt_id": attempt.id, "step": step})
    # Statements take many rows of the same columns at once.
    alike: dict[frozenset[str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows.values():
        alike[frozenset(row)].append(row)
    for group in alike.values():
        session.execute(insert(TENSOR_STATS), group)
    if own:
        session.execute(insert(ImportedValue), own)


def _check_same(
    session: Session,
    attempt: Attempt,
    step: int,
    values: Mapping[Key, float],
    statistics: Mapping[str, int],
    tensors: Mapping[str, int],
) -> None:
    """Refuses what is not stored, or otherwise, at a step that detectors have been given."""
    stored = _stored(session, attempt, step, {id_: name for name, id_ in statistics.items()})
    for (tensor, statistic), value in values.items():
        known = stored.get((tensors[tensor], statistic))
        if known is None:
            raise ConflictError(
                f"{statistic} of {tensor} at step {step} is not among what was imported; a step is "
                f"imported once, with all its values, and in order: the last is {attempt.last_step}"
            )
        if not _same(known, value):
            raise ConflictError(
                f"{statistic} of {tensor} at step {step} is stored as {known}, got {value}; "
                "what is stored never changes"
            )


def _stored(
    session: Session, attempt: Attempt, step: int, names: Mapping[int, str]
) -> dict[tuple[int, str], float]:
    """Values of a step by tensor and statistic; NaN for those that came without one."""
    found: dict[tuple[int, str], float] = {}
    at = (TENSOR_STATS.c.attempt_id == attempt.id, TENSOR_STATS.c.step == step)
    for row in session.execute(select(TENSOR_STATS).where(*at)).mappings():
        for name in BY_NAME:
            found[row["tensor_id"], name] = math.nan if row[name] is None else row[name]
    rows = session.scalars(
        select(ImportedValue).where(
            ImportedValue.attempt_id == attempt.id, ImportedValue.step == step
        )
    )
    for value in rows:
        key = (value.tensor_id, names[value.statistic_id])
        found[key] = math.nan if value.value is None else value.value
    return found
