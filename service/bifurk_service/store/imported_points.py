"""Takes series computed elsewhere in, so that detectors watch them like measured ones."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bifurk.layout import layout_of
from bifurk_service.domain import AttemptState
from bifurk_service.errors import ConflictError, InvalidError
from bifurk_service.stats.registry import BY_NAME, Nature
from bifurk_service.store.imports import IMPORT, Key, check_same, same_value
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    ImportedStatistic,
    ImportedValue,
    Snapshot,
    Tensor,
)
from bifurk_service.store.runs import attempt_of, get_run
from bifurk_service.store.snapshots import MEASURED

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
            check_same(session, attempt, step, by_step[step], statistics, tensors)
    for step in new:
        _keep_step(session, attempt, step, by_step[step], statistics, tensors, now=now)
    return Imported(
        points=sum(map(len, by_step.values())),
        new_points=sum(len(by_step[step]) for step in new),
        new_steps=len(new),
        first_step=min(by_step),
        last_step=max(by_step),
    )


def _by_step(points: Iterable[PointLike]) -> dict[int, dict[Key, float]]:
    found: dict[int, dict[Key, float]] = defaultdict(dict)
    for point in points:
        place = (point.tensor, point.statistic)
        known = found[point.step].setdefault(place, point.value)
        if not same_value(known, point.value):
            raise InvalidError(
                f"{point.statistic} of {point.tensor} at step {point.step} is given twice: "
                f"{known} and {point.value}"
            )
    if not found:
        raise InvalidError("an import has at least one point, got none")
    return found


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
