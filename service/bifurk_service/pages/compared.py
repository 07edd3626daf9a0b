"""What the page of comparisons compares: two sides, the tensors of both, the one that is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bifurk_service.api.grants import visible_run
from bifurk_service.errors import NotFoundError
from bifurk_service.pages.forks import LayerGroup, layer_groups
from bifurk_service.pages.views import CompareView
from bifurk_service.store.common_steps import common_steps, reaches
from bifurk_service.store.engine import Session
from bifurk_service.store.measurements import statistics_at
from bifurk_service.store.models import Snapshot, Tensor
from bifurk_service.store.queries import snapshot_at
from bifurk_service.store.run_lists import RunSummary
from bifurk_service.store.series import find_tensors
from bifurk_service.store.timeline import Stretch, timeline
from bifurk_service.store.tokens import Grant
from bifurk_service.store.whole_steps import Ends, nearest_whole, whole_ends

MATRIX_DIMENSIONS = 2
CHOSEN_BY = "std"
"""The statistic by whose change a tensor is chosen where none is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComparedSide:
    """A run at a stored step; ``tensors`` are its whole ones, by name, in the model's order."""

    run: RunSummary
    snapshot: Snapshot
    asked: int | None
    tensors: Mapping[str, Tensor]

    @property
    def step(self) -> int:
        """The stored step nearest to the one asked for."""
        return self.snapshot.step


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """Two sides; ``names`` are of the tensors that both have and that match, in order.

    ``chosen`` is one of them, "" where there is none.
    """

    this: ComparedSide
    other: ComparedSide
    names: Sequence[str]
    chosen: str

    @property
    def one_run(self) -> bool:
        """Whether two steps of one run are compared."""
        return self.this.run.id == self.other.run.id

    @property
    def labels(self) -> tuple[str, str]:
        """What the sides are called, apart from each other."""
        this, other = self.this, self.other
        if self.one_run:
            return f"step {this.step:,}", f"step {other.step:,}"
        mine, theirs = (_title(side.run) for side in (this, other))
        if mine == theirs:
            mine, theirs = (f"{_title(side.run)} ({side.run.id})" for side in (this, other))
        return mine, theirs

    @cached_property
    def group(self) -> LayerGroup | None:
        """The layers that do what the chosen tensor does, of those that both sides have."""
        both = [one for name, one in self.this.tensors.items() if name in self.other.tensors]
        for group in layer_groups(both):
            if any(tensor.name == self.chosen for tensor in group.tensors):
                return group
        return None


def compared(session: Session, grant: Grant, view: CompareView) -> Compared | None:
    """Reads what a view asks for; None where it names no run.

    Steps are the stored ones nearest to those asked for.

    Raises:
        NotFoundError: a run is not there, or has no measured snapshot yet.
    """
    if not view.a:
        return None
    runs = [visible_run(session, int(one), grant) for one in (view.a, view.b or view.a)]
    asked = [int(one) if one else None for one in (view.a_step, view.b_step)]
    chosen_steps = _steps(session, runs, asked)
    this, other = (
        ComparedSide(
            run=run,
            snapshot=snapshot_at(session, run.id, step),
            asked=wanted,
            tensors=_wholes(session, run.id),
        )
        for run, step, wanted in zip(runs, chosen_steps, asked, strict=True)
    )
    names = matching(session, this, other, view)
    chosen = view.tensor if view.tensor in names else _differing_most(session, this, other, names)
    return Compared(this=this, other=other, names=names, chosen=chosen)


def matching(
    session: Session, this: ComparedSide, other: ComparedSide, view: CompareView
) -> list[str]:
    """Names that match the glob and the role, of whole tensors that both sides have."""
    found = find_tensors(session, this.run.id, glob=view.match or None, role=view.role or None)
    return [one.name for one in found if one.name in this.tensors and one.name in other.tensors]


def _steps(
    session: Session, runs: Sequence[RunSummary], asked: Sequence[int | None]
) -> tuple[int, int]:
    """Which step of each: of one run its last and its first, of two the newest that both have."""
    courses = [timeline(session, run.id) for run in runs]
    mine, theirs = (_ends(session, run, course) for run, course in zip(runs, courses, strict=True))
    first, second = asked
    if runs[0].id == runs[1].id:
        wanted = (first, mine.last), (second, theirs.first)
    else:
        newest = common_steps(
            session, *(reaches(session, one) for one in courses), limit=1, newest=True
        ).steps
        either = second if first is None else first, first if second is None else second
        wanted = (
            (either[0], newest[0] if newest else mine.last),
            (either[1], newest[0] if newest else theirs.last),
        )
    this, other = (
        otherwise if step is None else nearest_whole(session, course, step) or 0
        for course, (step, otherwise) in zip(courses, wanted, strict=True)
    )
    return this, other


def _ends(session: Session, run: RunSummary, course: Sequence[Stretch]) -> Ends:
    ends = whole_ends(session, course)
    if ends is None:
        raise NotFoundError(f"run {run.id} ({_title(run)}) has no measured snapshot yet")
    return ends


def _wholes(session: Session, run_id: int) -> dict[str, Tensor]:
    return {one.name: one for one in find_tensors(session, run_id) if one.piece_of is None}


def _differing_most(
    session: Session, this: ComparedSide, other: ComparedSide, names: Sequence[str]
) -> str:
    """The matrix whose deviation has the largest ratio; the first tensor where none has one."""
    if not names:
        return ""
    matrices = [name for name in names if len(this.tensors[name].shape) >= MATRIX_DIMENSIONS]
    candidates = matrices or list(names)
    values = []
    for side in (this, other):
        known = [side.tensors[name].id for name in candidates]
        _, table = statistics_at(session, side.snapshot, known=known)
        values.append(table[CHOSEN_BY][: len(known)])
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(values[0] / values[1]))
    apart[~np.isfinite(apart)] = -1.0
    return candidates[int(np.argmax(apart))]


def _title(run: RunSummary) -> str:
    return run.display_name or run.run
