"""The singular spectrum of a matrix: values, the Marchenko-Pastur curve, what lies beyond it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from bifurk_service.api.distribution_shapes import (
    CurveAnswer,
    SpectrumAnswer,
)
from bifurk_service.api.freshness import freshness, not_modified, snapshot_tag
from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import (
    OfAttempt,
    RunId,
    Step,
    TensorId,
)
from bifurk_service.api.schemas import TensorReference
from bifurk_service.errors import NotFoundError
from bifurk_service.services import services
from bifurk_service.stats.spectra.marchenko_pastur import density, edges
from bifurk_service.store.carried_steps import nearest_carried
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Snapshot, Tensor
from bifurk_service.store.queries import get_tensor, snapshot_at, statistics_of
from bifurk_service.store.snapshots import parts_of
from bifurk_service.store.spectra import StoredSpectrum, latest_spectrum
from bifurk_service.store.timeline import timeline

router = APIRouter(prefix="/api/v1/runs/{run_id}/tensors/{tensor_id}", tags=["distributions"])

CURVE_POINTS: Final = 201
"""Of the curve between its edges, denser towards them, where it rises steeply."""
WHY_NOT: Final = "spectral_norm"
"""The statistic whose reason for having no value is every spectrum's."""


@router.get("/spectrum", response_model=SpectrumAnswer)
def get_spectrum(
    request: Request,
    response: Response,
    grant: Reader,
    run_id: RunId,
    tensor_id: TensorId,
    *,
    step: Step = None,
    attempt: OfAttempt = None,
    points: Annotated[
        int, Query(ge=4, le=100_000, description="Most singular values; the largest are kept.")
    ] = 1000,
) -> SpectrumAnswer | Response:
    """The newest spectrum of a matrix at or before a step, and what noise would look like. Tagged.

    Spectra need full values, which come less often than snapshots: `step` of the answer is the
    spectrum's own.
    """
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        tensor = get_tensor(session, run_id, tensor_id)
        snapshot = snapshot_at(session, run_id, step, attempt)
        found = newest_spectrum(session, run_id, tensor, snapshot)
        if found is None:
            raise absent_spectrum(session, tensor, snapshot)
        tag = snapshot_tag(request, snapshot, parts_of(session, snapshot.id), str(found.step))
    if (unchanged := not_modified(request, tag)) is not None:
        return unchanged
    kept = _kept(found.singular_values.size, points)
    response.headers.update(freshness(tag))
    return SpectrumAnswer(
        tensor=TensorReference.model_validate(tensor),
        step=found.step,
        asked_step=snapshot.step,
        rows=found.rows,
        columns=found.columns,
        count=found.singular_values.size,
        ranks=(kept + 1).tolist(),
        singular_values=found.singular_values[kept].tolist(),
        curve=fitted_curve(found),
        raw=found.document["raw"],
        biwhitened=found.document["biwhitened"],
        power_law=found.document["power_law"],
    )


def newest_spectrum(
    session: Session, run_id: int, tensor: Tensor, snapshot: Snapshot
) -> StoredSpectrum | None:
    """Of the snapshot's attempt, or where that has none yet, of those that the run went on from."""
    found = latest_spectrum(session, tensor.id, snapshot.attempt_id, step=snapshot.step)
    for stretch in reversed(timeline(session, run_id)):
        if found is not None or stretch.first > snapshot.step:
            continue
        last = stretch.last_step(snapshot.step)
        found = latest_spectrum(session, tensor.id, stretch.attempt_id, step=last)
    return found


def absent_spectrum(session: Session, tensor: Tensor, snapshot: Snapshot) -> NotFoundError:
    """What to raise where there is none: why, and the nearest step that has one."""
    nearest = nearest_carried(session, "spectra", tensor, snapshot.step)
    hint = "it has none at any step"
    if nearest is not None:
        hint = f"the nearest spectrum is at step {nearest}"
    try:
        _, reasons = statistics_of(session, tensor, snapshot)
        why = f" ({reasons[WHY_NOT]})" if WHY_NOT in reasons else ""
    except NotFoundError:
        why = " (this snapshot does not carry it)"
    return NotFoundError(
        f"{tensor.name} has no spectrum at step {snapshot.step} or before{why}; {hint}",
        where="step",
    )


def _kept(size: int, points: int) -> NDArray[np.int64]:
    """Places of at most ``points`` values: half of them the largest, the rest evenly spaced."""
    if size <= points:
        return np.arange(size, dtype=np.int64)
    largest = points // 2
    rest = np.linspace(largest, size - 1, points - largest).round().astype(np.int64)
    return np.concatenate((np.arange(largest, dtype=np.int64), rest))


def fitted_curve(found: StoredSpectrum) -> CurveAnswer | None:
    """The law of the raw fit; none where that gave no verdict, or none that float64 can tell."""
    fit: Mapping[str, Any] = found.document["raw"]
    if "no_verdict" in fit:
        return None
    sigma = float(fit["sigma"])
    low, high = (sigma * edge for edge in edges(*sorted((found.rows, found.columns))))
    turn = np.linspace(0.0, np.pi, CURVE_POINTS)
    try:
        with np.errstate(all="raise", under="ignore"):
            values = low + (high - low) * (1.0 - np.cos(turn)) / 2.0
            drawn = density(values, sigma=sigma, rows=found.rows, columns=found.columns)
    except ArithmeticError:
        return None
    return CurveAnswer(
        sigma=sigma, lower_edge=low, upper_edge=high, values=values.tolist(), density=drawn.tolist()
    )
