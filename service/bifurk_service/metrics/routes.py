"""Where Prometheus asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from bifurk_service.access import require
from bifurk_service.errors import ForbiddenError
from bifurk_service.metrics import CONTENT_TYPE, ServiceMetrics
from bifurk_service.store.tokens import Grant

router = APIRouter(tags=["system"])


@router.get("/metrics", response_class=Response)
def get_metrics(request: Request, grant: Annotated[Grant, Depends(require("read"))]) -> Response:
    """Prometheus metrics of the service and of the trainings it watches."""
    if grant.project is not None:
        raise ForbiddenError(
            "metrics tell of all projects; this needs a token without a project", reason="project"
        )
    metrics: ServiceMetrics = request.app.state.metrics
    return Response(metrics.text(), media_type=CONTENT_TYPE)
