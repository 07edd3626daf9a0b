"""Several tensors' values together: a layer, a role, the whole model, from summed counts."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from bifurk_service.api.asked import AskedSnapshot, asked_snapshot
from bifurk_service.api.distribution_shapes import (
    PooledAnswer,
    PooledDistributionAnswer,
)
from bifurk_service.api.distributions import Bins, Edge, Unit, drawn_density
from bifurk_service.api.freshness import freshness, not_modified
from bifurk_service.api.grants import Reader
from bifurk_service.api.parameters import (
    Glob,
    Layer,
    OfAttempt,
    Role,
    RunId,
    Step,
)
from bifurk_service.api.schemas import TensorReference
from bifurk_service.api.stored_parts import carried
from bifurk_service.errors import InvalidError, NotFoundError
from bifurk_service.services import services
from bifurk_service.stats.distributions.distribution import Distribution
from bifurk_service.stats.pooling import pooled, pooled_statistics
from bifurk_service.stats.value import NoValue
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Tensor
from bifurk_service.store.series import find_tensors

router = APIRouter(prefix="/api/v1/runs/{run_id}/pooled", tags=["distributions"])


@router.get("", response_model=PooledAnswer)
def get_pooled(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    response: Response,
    grant: Reader,
    run_id: RunId,
    *,
    step: Step = None,
    attempt: OfAttempt = None,
    tensor: Glob = None,
    layer: Layer = None,
    role: Role = None,
) -> PooledAnswer | Response:
    """Element statistics of several tensors' values together; shapes are not fitted. Tagged."""
    asked = asked_snapshot(request, grant, run_id, step, attempt)
    if (unchanged := not_modified(request, asked.tag)) is not None:
        return unchanged
    pool = _pool(request, asked, run_id, glob=tensor, layer=layer, role=role)
    measured = pooled_statistics(pool.distribution)
    response.headers.update(freshness(asked.tag))
    return PooledAnswer(
        step=asked.snapshot.step,
        tensors=pool.tensors,
        not_carried=pool.not_carried,
        values={n: None if isinstance(v, NoValue) else v for n, v in measured.items()},
        no_value={n: v.reason for n, v in measured.items() if isinstance(v, NoValue)},
    )


@router.get("/distribution", response_model=PooledDistributionAnswer)
def get_pooled_distribution(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    response: Response,
    grant: Reader,
    run_id: RunId,
    *,
    step: Step = None,
    attempt: OfAttempt = None,
    tensor: Glob = None,
    layer: Layer = None,
    role: Role = None,
    bins: Bins = 128,
    unit: Unit = "weight",
    low: Edge = None,
    high: Edge = None,
) -> PooledDistributionAnswer | Response:
    """The density of several tensors' values together, every element counted once. Tagged."""
    asked = asked_snapshot(request, grant, run_id, step, attempt)
    if (unchanged := not_modified(request, asked.tag)) is not None:
        return unchanged
    pool = _pool(request, asked, run_id, glob=tensor, layer=layer, role=role)
    drawn = drawn_density(pool.distribution, bins=bins, unit=unit, low=low, high=high)
    response.headers.update(freshness(asked.tag))
    return PooledDistributionAnswer(
        step=asked.snapshot.step,
        tensors=pool.tensors,
        not_carried=pool.not_carried,
        **drawn.model_dump(),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pool:
    """What went in, the names of what the snapshot does not carry, and all values together."""

    tensors: list[TensorReference]
    not_carried: list[str]
    distribution: Distribution


def _pool(
    request: Request,
    asked: AskedSnapshot,
    run_id: int,
    *,
    glob: str | None,
    layer: int | None,
    role: str | None,
) -> _Pool:
    house = services(request)
    with house.database.read() as session:
        tensors = _wholes(session, run_id, glob=glob, layer=layer, role=role)
    found = carried(house, asked.snapshot, {tensor.name for tensor in tensors})
    if not found:
        raise NotFoundError(
            f"step {asked.snapshot.step} carries none of the {len(tensors)} tensors that match",
            where="step",
        )
    try:
        together = pooled([found[tensor.name] for tensor in tensors if tensor.name in found])
    except ValueError as error:
        raise InvalidError(
            f"these tensors cannot be taken together: {error}; name tensors of one kind",
            where="tensor",
        ) from error
    return _Pool(
        tensors=[TensorReference.model_validate(t) for t in tensors if t.name in found],
        not_carried=[t.name for t in tensors if t.name not in found],
        distribution=together,
    )


def _wholes(
    session: Session, run_id: int, *, glob: str | None, layer: int | None, role: str | None
) -> list[Tensor]:
    """The tensors that match and are not pieces: a piece's values are in its whole."""
    matching = find_tensors(session, run_id, glob=glob, layer=layer, role=role)
    wholes = [tensor for tensor in matching if tensor.piece_of is None]
    if wholes:
        return wholes
    if not matching:
        raise NotFoundError(
            f"no tensor of run {run_id} matches; `GET /api/v1/runs/{run_id}/tensors` lists them",
            where="tensor",
        )
    ids = ", ".join(str(tensor_id) for tensor_id in sorted({t.piece_of or 0 for t in matching}))
    raise NotFoundError(
        "all that match are pieces of fused tensors, and values are stored of the whole: "
        f"ask for tensors {ids}",
        where="tensor",
    )
