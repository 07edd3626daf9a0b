"""A model across its layers: by depth, by kind of projection, by spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request

from bifurk_service.api.comparison_shapes import SideAnswer
from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import (
    OfAttempt,
    Role,
    RunId,
    Step,
    check_statistics,
)
from bifurk_service.api.profile_shapes import (
    ClustersAnswer,
    DepthAnswer,
    DriftAnswer,
    LeadingValuesAnswer,
    ProfileAnswer,
    ProfileSeriesAnswer,
    TailAnswer,
)
from bifurk_service.api.ratios import or_null
from bifurk_service.api.schemas import Page
from bifurk_service.api.whole_steps import whole_snapshot
from bifurk_service.domain import LARGEST
from bifurk_service.errors import InvalidError
from bifurk_service.services import services
from bifurk_service.stats.layers.profile import (
    DepthProfile,
    LeadingValueProfile,
    ProfileTensor,
    SpectralClusters,
    TailFit,
    depth_profile,
    leading_value_profile,
    projection_std_distance,
    projection_std_profile,
    spectral_cluster_drift,
    spectral_cluster_profile,
)
from bifurk_service.stats.layers.spectral_clusters import RANKS
from bifurk_service.stats.registry import BY_NAME, Family, Nature
from bifurk_service.stats.rows.profile import PROFILE_STATISTICS
from bifurk_service.stats.thinning import thin
from bifurk_service.stats.value import NoValue, Value
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Snapshot
from bifurk_service.store.outlined_profiles import outlined_profiles
from bifurk_service.store.profiles import first_measured_step, profile_tensors
from bifurk_service.store.queries import latest_values, snapshot_at
from bifurk_service.store.runs import attempt_slug
from bifurk_service.store.series import find_tensors
from bifurk_service.store.thinned_ranges import thinned_ranges
from bifurk_service.store.timeline import timeline

router = APIRouter(prefix="/api/v1/runs/{run_id}/profile", tags=["series"])

PROFILE_NAMES: Final = tuple(statistic.name for statistic in PROFILE_STATISTICS)


@router.get("")
def get_profile(
    request: Request,
    grant: Reader,
    run_id: RunId,
    *,
    step: Step = None,
    attempt: OfAttempt = None,
    stat: Annotated[
        str,
        Query(
            max_length=64,
            description="By layer; a name from `GET /api/v1/stats`.",
            json_schema_extra={"enum": list(BY_NAME)},
        ),
    ] = "std",
    against: Annotated[
        int | None, Query(ge=1, le=LARGEST, description="Another run's id, to measure drift from.")
    ] = None,
    against_step: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="That run's step; without it, its last.")
    ] = None,
) -> ProfileAnswer:
    """A statistic by depth and role; widths and spectra of the projections, and their drift."""
    check_statistics(stat)
    if BY_NAME[stat].nature is Nature.CLASS:
        raise InvalidError(f"{stat} names classes, which have no order by depth", where="stat")
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        snapshot = snapshot_at(session, run_id, step, attempt)
        tensors = _tensors(session, run_id, snapshot, stat)
        start = timeline(session, run_id, attempt)[0]
        first_step = first_measured_step(session, start.attempt_id) or start.first
        first = profile_tensors(session, start.attempt_id, first_step, forward=True)
        side, others = None, None
        if against is not None:
            run = visible_run(session, against, grant)
            other = whole_snapshot(session, against, against_step)
            others = profile_tensors(session, other.attempt_id, other.step)
            side = SideAnswer(
                run_id=run.id,
                project=run.project,
                run=run.run,
                step=other.step,
                attempt=attempt_slug(session, other.attempt_id),
                thinned=thinned_ranges(session, against),
            )
    stds = projection_std_profile(tensors)
    return ProfileAnswer(
        step=snapshot.step,
        stat=stat,
        depth=[_depth(profile) for profile in depth_profile(tensors, statistic=stat)],
        projection_std={} if isinstance(stds, NoValue) else stds,
        clusters=[_clusters(tensors, rank) for rank in RANKS],
        leading_values=[_leading(profile) for profile in leading_value_profile(tensors)],
        first_step=first_step,
        drift=_drift(tensors, first),
        against=side,
        against_drift=None if others is None else _drift(tensors, others),
        no_value={"projection_std": stds.reason} if isinstance(stds, NoValue) else {},
    )


@router.get("/series")
def get_profile_series(
    request: Request,
    grant: Reader,
    run_id: RunId,
    *,
    name: Annotated[
        str,
        Query(
            max_length=64,
            description="A name from `GET /api/v1/profiles`.",
            json_schema_extra={"enum": list(PROFILE_NAMES)},
        ),
    ],
    role: Role = None,
    attempt: OfAttempt = None,
    points: Annotated[int, Query(ge=4, le=100_000, description="Most points a series.")] = 1000,
) -> Page[ProfileSeriesAnswer]:
    """One statistic across layers over steps, a series a role; thinned, extremes kept."""
    if name not in PROFILE_NAMES:
        raise InvalidError(
            f"no statistic across layers {name!r}; `GET /api/v1/profiles` lists them", where="name"
        )
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        found = outlined_profiles(session, run_id, name, role, attempt, points=points)
    answers = []
    for one in found:
        kept = thin(one.values, points)
        answers.append(
            ProfileSeriesAnswer(
                name=name,
                role=one.role,
                steps=one.steps[kept].tolist(),
                values=[or_null(value) for value in one.values[kept].tolist()],
                reduced=one.is_outlined or len(kept) < len(one.steps),
            )
        )
    return Page(items=answers)


def _tensors(session: Session, run_id: int, snapshot: Snapshot, stat: str) -> list[ProfileTensor]:
    """The tensors of a snapshot, with the asked statistic among their values.

    What needs full values is of the newest step that has it, and so is all of a piece.
    """
    found = profile_tensors(session, snapshot.attempt_id, snapshot.step)
    latest = latest_values(session, snapshot.attempt_id, stat, step=snapshot.step)
    lasting = BY_NAME[stat].family is Family.SPECTRUM
    values = {
        tensor.name: latest[tensor.id][1]
        for tensor in find_tensors(session, run_id)
        if tensor.id in latest
        and (lasting or tensor.piece_of is not None or latest[tensor.id][0] == snapshot.step)
    }
    return [
        replace(tensor, values={**tensor.values, stat: values[tensor.name]})
        if tensor.name in values
        else tensor
        for tensor in found
    ]


def _depth(profile: DepthProfile) -> DepthAnswer:
    spearman, reason = _split(profile.spearman)
    return DepthAnswer(
        role=profile.role,
        layers=profile.layers.tolist(),
        values=profile.values.tolist(),
        spearman=spearman,
        p_value=_split(profile.p_value)[0],
        no_value=reason,
    )


def _clusters(tensors: Sequence[ProfileTensor], rank: int) -> ClustersAnswer:
    found = spectral_cluster_profile(tensors, rank=rank)
    if isinstance(found, NoValue):
        return ClustersAnswer(rank=rank, no_value=found.reason)
    return ClustersAnswer(
        rank=rank,
        names=list(found.names),
        roles=list(found.roles),
        labels=found.labels.tolist(),
        kinds=list(found.kinds),
        composition=found.composition.tolist(),
        explained=found.explained,
    )


def _leading(profile: LeadingValueProfile) -> LeadingValuesAnswer:
    mean, reason = _split(profile.mean_distance)
    return LeadingValuesAnswer(
        role=profile.role,
        names=list(profile.names),
        layers=profile.layers.tolist(),
        distances=profile.distances.tolist(),
        mean_distance=mean,
        no_value=reason,
        value_tail=_tail(profile.value_tail),
        distance_tail=_tail(profile.distance_tail),
    )


def _tail(fit: TailFit | NoValue) -> TailAnswer:
    return (
        TailAnswer(no_value=fit.reason)
        if isinstance(fit, NoValue)
        else TailAnswer.model_validate(fit)
    )


def _drift(now: Sequence[ProfileTensor], then: Sequence[ProfileTensor]) -> DriftAnswer:
    said: dict[str, Value] = {"projection_std": projection_std_distance(now, then)}
    for rank in RANKS:
        here, there = (spectral_cluster_profile(side, rank=rank) for side in (now, then))
        said |= _cluster_drift(here, there, rank)
    values = {name: _split(value)[0] for name, value in said.items()}
    return DriftAnswer(
        projection_std=values["projection_std"],
        composition={rank: values[f"composition_{rank}"] for rank in RANKS},
        moved={rank: values[f"moved_{rank}"] for rank in RANKS},
        no_value={n: value.reason for n, value in said.items() if isinstance(value, NoValue)},
    )


def _cluster_drift(
    here: SpectralClusters | NoValue, there: SpectralClusters | NoValue, rank: int
) -> dict[str, Value]:
    for side in (here, there):
        if isinstance(side, NoValue):
            return {f"composition_{rank}": side, f"moved_{rank}": side}
    assert not isinstance(here, NoValue)
    assert not isinstance(there, NoValue)
    drift = spectral_cluster_drift(here, there)
    return {f"composition_{rank}": drift.composition, f"moved_{rank}": drift.moved}


def _split(value: Value) -> tuple[float | None, str | None]:
    """A value and why there is none; one of the two."""
    return (None, value.reason) if isinstance(value, NoValue) else (value, None)
