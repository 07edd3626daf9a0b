"""What an alert rests on, as one document."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from bifurk_service.access import check_project
from bifurk_service.api.grants import Reader
from bifurk_service.api.parameters import AlertId
from bifurk_service.replay.evidence import evidence_of
from bifurk_service.services import services
from bifurk_service.store.alerts import get_alert
from bifurk_service.store.run_lists import run_summary

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])


@router.get("/{alert_id}/evidence")
def get_evidence(request: Request, grant: Reader, alert_id: AlertId) -> dict[str, Any]:
    """Everything that re-runs to the same verdict; `bifurk alerts verify` does.

    The detectors' memory before the onset, the series of every watched statistic around it,
    parameters and versions. Judged anew for the answer: a long run takes its time.
    """
    house = services(request)
    with house.database.read() as session:
        check_project(grant, run_summary(session, get_alert(session, alert_id).run_id).project)
    return evidence_of(house.database, alert_id)
