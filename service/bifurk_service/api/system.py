"""Is the server alive, and is it ready to take snapshots."""

from __future__ import annotations

from fastapi import APIRouter, Request

import bifurk
from bifurk_service.api.schemas import StateAnswer
from bifurk_service.errors import BifurkError, NotReadyError
from bifurk_service.services import services
from bifurk_service.store.engine import check_writable

router = APIRouter(tags=["system"])

RETRY_SECONDS = 5


@router.get("/healthz")
async def get_healthz() -> StateAnswer:
    """The process answers, also while all its threads wait for a database."""
    return StateAnswer(status="ok", version=bifurk.__version__)


@router.get("/readyz")
def get_readyz(request: Request) -> StateAnswer:
    """The database takes writes, and the pipeline's thread runs, if this process has it.

    A cluster that is away makes no server unready: it takes in, and measures later.
    """
    house = services(request)
    problems = []
    try:
        check_writable(house.database)
    except BifurkError as error:
        problems.append(error.detail)
    if house.runs_pipeline and not house.pipeline.alive:
        problems.append("the pipeline's thread has ended")
    if problems:
        raise NotReadyError("; ".join(problems), retry_after_seconds=RETRY_SECONDS)
    return StateAnswer(
        status="ok",
        version=bifurk.__version__,
        trouble=house.workers.trouble if house.runs_pipeline else None,
    )
