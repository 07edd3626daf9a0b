"""A run's judge, and what it is given of a stored snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import AnyWatch
from bifurk_service.detect.judge import Judge, Verdict
from bifurk_service.detect.registry import WATCHES
from bifurk_service.domain import Clock, TensorInfo
from bifurk_service.stats.registry import BY_NAME, Statistic
from bifurk_service.store.engine import Session
from bifurk_service.store.imports import imported_at, imported_statistics
from bifurk_service.store.measurements import statistics_at, tensors_of
from bifurk_service.store.models import Run, Snapshot
from bifurk_service.store.snapshots import clock_of

IMPORTED_KINDS: Final = ("regime_shift", "variance_burst")
"""What watches a statistic that bifurk did not compute: no more is known of it than its course."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgingInput:
    """What ``Judge.update`` is given of one snapshot; T tensors."""

    clock: Clock
    tensors: tuple[TensorInfo, ...]
    values: dict[str, NDArray[np.float64]]
    valid: dict[str, NDArray[np.bool_]]

    def given_to(self, judge: Judge) -> Verdict:
        """The judge's verdict."""
        return judge.update(self.clock, self.tensors, self.values, self.valid)


def judge_of(session: Session, run: Run, *, watches: Sequence[AnyWatch] = WATCHES) -> Judge:
    """A judge that has seen nothing yet, for the statistics of the table and the run's own."""
    return judge_for(run.slug, imported_statistics(session, run.id), watches=watches)


def judge_for(
    run: str, own: Sequence[Statistic], *, watches: Sequence[AnyWatch] = WATCHES
) -> Judge:
    """A judge that has seen nothing yet.

    Args:
        run: its name. own: statistics that the run brought along. watches: of those in the table.
    """
    names = tuple(statistic.name for statistic in own)
    of_own = [replace(watch, statistics=names) for watch in watches if watch.kind in IMPORTED_KINDS]
    return Judge(
        run,
        watches=(*watches, *(of_own if own else ())),
        statistics={**BY_NAME, **{statistic.name: statistic for statistic in own}},
    )


def judging_input(
    session: Session, snapshot: Snapshot, *, known: Sequence[int], imported: bool
) -> JudgingInput:
    """Everything of a measured snapshot that detectors look at.

    Only tensors that judged snapshots have carried count, whatever has arrived by now.

    Args:
        session: to read with. snapshot: a measured one.
        known: ids of the tensors judged so far, in their order.
        imported: whether the run may have statistics of its own.
    """
    tensor_ids, values = statistics_at(session, snapshot, known=known)
    if imported:
        values |= imported_at(session, snapshot, tensor_ids)
    return JudgingInput(
        clock=clock_of(session, snapshot),
        tensors=tuple(tensors_of(session, snapshot.attempt_id, tensor_ids)),
        values=values,
        valid={name: np.isfinite(value) for name, value in values.items()},
    )
