"""Is the server alive, and is it ready to take snapshots."""

from __future__ import annotations

from http import HTTPStatus

import bifurk
from fastapi import APIRouter, Request, Response

from bifurk_service.api.schemas import StateAnswer
from bifurk_service.errors import BifurkError
from bifurk_service.services import services
from bifurk_service.store.engine import check_writable

router = APIRouter(tags=["system"])


@router.get("/healthz")
def get_healthz() -> StateAnswer:
    """The process answers."""
    return StateAnswer(status="ok", version=bifurk.__version__)


@router.get("/readyz")
def get_readyz(request: Request, response: Response) -> StateAnswer:
    """The database takes writes, and the pipeline's thread runs."""
    house = services(request)
    problems = []
    try:
        check_writable(house.database)
    except BifurkError as error:
        problems.append(error.detail)
    if not house.pipeline.alive:
        problems.append("the pipeline's thread has ended")
    if problems:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return StateAnswer(
        status="unavailable" if problems else "ok",
        version=bifurk.__version__,
        detail={"problems": problems},
    )
