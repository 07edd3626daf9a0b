"""All statistics of a run in one file."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

import bifurk
from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import (
    FirstStep,
    Glob,
    LastStep,
    Layer,
    OfAttempt,
    Role,
    RunId,
    check_statistics,
)
from bifurk_service.errors import NotFoundError, NotReadyError
from bifurk_service.services import services
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.exporting import ExportSelection, export_rows
from bifurk_service.store.series import find_tensors
from bifurk_service.store.thinned_ranges import thinned_ranges
from bifurk_service.store.timeline import timeline

router = APIRouter(prefix="/api/v1/runs/{run_id}", tags=["series"])

MEDIA_TYPE: Final = "application/vnd.apache.parquet"
EXTRA: Final = "pip install 'bifurk[service,export]'"
ROWS_A_GROUP: Final = 8_192
"""What an export holds in memory at a time: of all statistics 5 MB as numbers."""


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {MEDIA_TYPE: {}}, "description": "The Parquet file"}},
)
def get_export(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    grant: Reader,
    run_id: RunId,
    *,
    stat: Annotated[
        list[Annotated[str, Query(max_length=64)]],
        Query(max_length=len(BY_NAME), description="Only these; may be repeated."),
    ] = [],  # noqa: B006 - FastAPI's form of a repeated parameter
    tensor: Glob = None,
    layer: Layer = None,
    role: Role = None,
    first: FirstStep = None,
    last: LastStep = None,
    attempt: OfAttempt = None,
) -> StreamingResponse:
    """A run's statistics as a Parquet file: a row a tensor a step, a column a statistic.

    Where the past is thinned it has the snapshots that are whole; `thinned` in the file's metadata
    says where.
    """
    parquet = _parquet()
    check_statistics(*stat)
    house = services(request)
    with house.database.read() as session:
        run = visible_run(session, run_id, grant)
        tensors = find_tensors(session, run_id, glob=tensor, layer=layer, role=role)
        timeline(session, run_id, attempt)  # refused before the first byte is sent
        gone = thinned_ranges(session, run_id, attempt, first_step=first, last_step=last)
    if not tensors:
        raise NotFoundError(
            f"no tensor of run {run_id} matches; `GET /api/v1/runs/{run_id}/tensors` lists them",
            where="tensor",
        )
    selection = ExportSelection(
        tensors=tensors,
        statistics=[name for name in BY_NAME if name in stat or not stat],
        first_step=first,
        last_step=last,
        attempt=attempt,
    )
    about = {
        "project": run.project,
        "run": run.run,
        "run_id": run.id,
        "bifurk": bifurk.__version__,
        "thinned": gone,
    }
    rows = export_rows(house.database, run_id, selection, most_rows=ROWS_A_GROUP)
    name = f"{run.project}-{run.run}.parquet"
    return StreamingResponse(
        parquet.parquet_stream(rows, selection, about),
        media_type=MEDIA_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _parquet() -> ModuleType:
    """What writes Parquet: an extra, imported where something is exported.

    Raises:
        NotReadyError: it is not installed; names what is to be.
    """
    try:
        return import_module("bifurk_service.api.parquet")
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise NotReadyError(
            f"this server writes no Parquet, because pyarrow is missing; {EXTRA} adds it"
        ) from error
