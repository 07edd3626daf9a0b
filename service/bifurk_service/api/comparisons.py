"""Two runs, or two steps of one run: how far apart, and where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request

from bifurk.wire import TensorPart
from bifurk_service.api.compared_steps import compared_steps
from bifurk_service.api.comparison_shapes import (
    ChangeAnswer,
    ComparedTensorAnswer,
    ComparisonAnswer,
    SideAnswer,
)
from bifurk_service.api.comparison_words import sentences
from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import (
    Glob,
    Layer,
    OfAttempt,
    Role,
    RunId,
    Step,
    Text,
    check_statistics,
)
from bifurk_service.api.partings import parting_of
from bifurk_service.api.ratios import or_null, ratio
from bifurk_service.api.schemas import TensorReference
from bifurk_service.api.stored_parts import carried
from bifurk_service.api.whole_steps import whole_snapshot
from bifurk_service.domain import LARGEST
from bifurk_service.errors import InvalidError, NotFoundError
from bifurk_service.services import Services, services
from bifurk_service.stats.distributions.comparison import Distances, distances
from bifurk_service.stats.pooling import distribution_of
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.stats.value import NoValue
from bifurk_service.store.engine import Session
from bifurk_service.store.measurements import statistics_at
from bifurk_service.store.models import Snapshot, Tensor
from bifurk_service.store.run_lists import RunSummary
from bifurk_service.store.runs import attempt_slug
from bifurk_service.store.series import find_tensors
from bifurk_service.store.thinned_ranges import thinned_ranges

router = APIRouter(prefix="/api/v1/runs/{run_id}", tags=["distributions"])

COMPARED: Final = (
    "std",
    "rms",
    "excess_kurtosis",
    "zero_share",
    "update_ratio",
    "distance_to_first",
    "spectral_norm",
    "stable_rank",
    "spectrum_outliers",
)
"""The statistics that are set side by side where no ``stat`` is asked for."""
MOST_TENSORS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """A run at a step, and its tensors by name."""

    run: RunSummary
    attempt: str
    snapshot: Snapshot
    tensors: Mapping[str, Tensor]
    thinned: list[list[int]]

    @property
    def answer(self) -> SideAnswer:
        return SideAnswer(
            run_id=self.run.id,
            project=self.run.project,
            run=self.run.run,
            attempt=self.attempt,
            step=self.snapshot.step,
            thinned=self.thinned,
        )


@router.get("/compare")
def get_comparison(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    grant: Reader,
    run_id: RunId,
    *,
    other: Annotated[
        int | None,
        Query(
            ge=1, le=LARGEST, alias="with", description="Another run's id; without it, this run."
        ),
    ] = None,
    step: Step = None,
    with_step: Annotated[
        int | None,
        Query(ge=0, le=LARGEST, description="The other's step; without it, the same."),
    ] = None,
    attempt: OfAttempt = None,
    with_attempt: Annotated[
        Text | None,
        Query(
            max_length=128,
            description="An attempt of the other run; two attempts of one run can be compared.",
        ),
    ] = None,
    stat: Annotated[
        list[Annotated[str, Query(max_length=64)]],
        Query(max_length=len(BY_NAME), description="Set side by side; may be repeated."),
    ] = [],  # noqa: B006 - FastAPI's form of a repeated parameter
    tensor: Glob = None,
    layer: Layer = None,
    role: Role = None,
) -> ComparisonAnswer:
    """Distances between two runs' distributions, or two steps', and where two runs part."""
    check_statistics(*stat)
    house = services(request)
    with house.database.read() as session:
        runs = visible_run(session, run_id, grant), visible_run(session, other or run_id, grant)
        attempts = attempt, with_attempt
        steps = compared_steps(session, runs, attempts, (step, with_step))
        this, that = (
            _side(session, run, of, at, glob=tensor, layer=layer, role=role)
            for run, of, at in zip(runs, attempts, steps, strict=True)
        )
        names = [name for name in this.tensors if name in that.tensors]
        _check(this, that, names)
        changes = _changes(session, this, that, names, stat or COMPARED)
        parting = None
        if this.run.id != that.run.id:
            parting = parting_of(
                session,
                (this.run.id, [this.tensors[name] for name in names]),
                (that.run.id, [that.tensors[name] for name in names]),
            )
    answer = ComparisonAnswer(
        this=this.answer,
        other=that.answer,
        tensors=_compared(house, this, that, names, changes),
        only_this=[name for name in this.tensors if name not in that.tensors],
        only_other=[name for name in that.tensors if name not in this.tensors],
        parting=parting,
        sentences=[],
    )
    return answer.model_copy(update={"sentences": sentences(answer)})


def _side(
    session: Session,
    run: RunSummary,
    attempt: str | None,
    step: int | None,
    *,
    glob: str | None,
    layer: int | None,
    role: str | None,
) -> _Side:
    """Pieces of fused tensors are left out: their values are in the wholes."""
    found = find_tensors(session, run.id, glob=glob, layer=layer, role=role)
    snapshot = whole_snapshot(session, run.id, step, attempt)
    return _Side(
        run=run,
        attempt=attempt_slug(session, snapshot.attempt_id),
        snapshot=snapshot,
        tensors={tensor.name: tensor for tensor in found if tensor.piece_of is None},
        thinned=thinned_ranges(session, run.id, attempt),
    )


def _check(this: _Side, other: _Side, names: Sequence[str]) -> None:
    if not names:
        raise NotFoundError(
            f"no tensor of run {this.run.id} ({len(this.tensors)} match) has the name of one of "
            f"run {other.run.id} ({len(other.tensors)} match)",
            where="tensor",
        )
    if len(names) > MOST_TENSORS:
        raise InvalidError(
            f"{len(names)} tensors match; name a role, a layer or a glob that leaves "
            f"at most {MOST_TENSORS}",
            where="tensor",
        )


def _changes(
    session: Session, this: _Side, other: _Side, names: Sequence[str], statistics: Sequence[str]
) -> list[dict[str, ChangeAnswer]]:
    """By tensor and statistic, the values of both."""
    sides = []
    for side in (this, other):
        known = [side.tensors[name].id for name in names]
        _, table = statistics_at(session, side.snapshot, known=known)
        sides.append({name: table[name][: len(known)] for name in statistics})
    mine, theirs = sides
    return [
        {
            name: _change(name, float(mine[name][place]), float(theirs[name][place]))
            for name in statistics
        }
        for place in range(len(names))
    ]


def _change(name: str, this: float, other: float) -> ChangeAnswer:
    return ChangeAnswer(
        this=or_null(this),
        other=or_null(other),
        difference=or_null(this - other),
        ratio=ratio(name, this, other),
    )


def _compared(
    house: Services,
    this: _Side,
    other: _Side,
    names: Sequence[str],
    changes: Sequence[dict[str, ChangeAnswer]],
) -> list[ComparedTensorAnswer]:
    mine, theirs = (carried(house, side.snapshot, set(names)) for side in (this, other))
    return [
        _tensor(
            this.tensors[name],
            other.tensors[name].id,
            _distances(mine.get(name, []), theirs.get(name, [])),
            changed,
        )
        for name, changed in zip(names, changes, strict=True)
    ]


def _distances(mine: list[TensorPart], theirs: list[TensorPart]) -> Distances | NoValue:
    """Of this to the other, whose standard deviation is the unit."""
    if not mine or not theirs:
        side = "this" if not mine else "the other"
        return NoValue(f"{side} snapshot does not carry it")
    return distances(distribution_of(theirs), distribution_of(mine))


def _tensor(
    tensor: Tensor,
    other_id: int,
    apart: Distances | NoValue,
    changed: dict[str, ChangeAnswer],
) -> ComparedTensorAnswer:
    known = None if isinstance(apart, NoValue) else apart
    in_sigmas = known.wasserstein_1_sigma if known else None
    return ComparedTensorAnswer(
        tensor=TensorReference.model_validate(tensor),
        other_id=other_id,
        ks=known.ks if known else None,
        js_divergence=known.js_divergence if known else None,
        js_by_chance=known.js_by_chance if known else None,
        wasserstein_1=known.wasserstein_1 if known else None,
        wasserstein_1_sigma=None if isinstance(in_sigmas, NoValue) else in_sigmas,
        no_value=apart.reason if isinstance(apart, NoValue) else None,
        statistics=changed,
    )
