"""A stored run judged anew: what other parameters would have raised."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bifurk_service.access import note_act
from bifurk_service.api.grants import Admin, visible_run
from bifurk_service.api.parameters import RunId
from bifurk_service.detect.base import AnyWatch
from bifurk_service.detect.registry import OPTIONAL_WATCHES, WATCHES
from bifurk_service.detect.tuning import tuned, without
from bifurk_service.domain import LARGEST, Alert
from bifurk_service.errors import InvalidError
from bifurk_service.replay.stored import Replayed, keep_replayed, replay_run
from bifurk_service.services import services
from bifurk_service.store.alert_lists import alerts_of
from bifurk_service.store.audit import Action
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.runs import attempt_slug

router = APIRouter(prefix="/api/v1/runs/{run_id}", tags=["alerts"])

StepBound = Annotated[int | None, Field(ge=0, le=LARGEST)]


class ReplayWish(BaseModel):
    """What to judge, and how."""

    model_config = ConfigDict(extra="forbid")

    from_step: StepBound = Field(None, description="First step; the first stored without it.")
    to_step: StepBound = Field(None, description="Last step; the last stored without it.")
    detectors: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Other parameters, by kind and name."
    )
    without: list[str] = Field(default_factory=list, description="Kinds to leave out.")
    optional: bool = Field(default=False, description="Also the detectors that are off by default.")
    keep: bool = Field(
        default=False, strict=True, description="Store what is raised and not stored yet."
    )

    @model_validator(mode="after")
    def _ascends(self) -> ReplayWish:
        if None not in (self.from_step, self.to_step) and self.from_step > self.to_step:  # type: ignore[operator]
            raise ValueError(f"from_step {self.from_step} lies behind to_step {self.to_step}")
        return self


class ReplayedAlert(BaseModel):
    """An alert that would have been raised."""

    attempt: str
    fingerprint: str
    stored: bool = Field(description="Whether the run has an alert of this fingerprint.")
    kind: str
    severity: str
    statistic: str
    detected_step: int
    onset_first_step: int
    onset_last_step: int
    score: float
    sentence: str
    parent: str
    returned: bool = Field(description="Whether its series came back.")
    tensors: list[str]


class ReplayAnswer(BaseModel):
    """What a replay came to; nothing is changed unless it was told to keep."""

    snapshots: int
    alerts: list[ReplayedAlert]
    not_raised: list[int] = Field(
        description="Ids of alerts in these steps, stored before, that were not raised again."
    )
    kept: int = Field(description="How many were stored now.")


@router.post("/replay")
def replay(request: Request, grant: Admin, run_id: RunId, wish: ReplayWish) -> ReplayAnswer:
    """Runs detectors over a run's stored series and tells what they would have raised.

    It takes as long as judging the run did. With `keep`, alerts that are not stored yet are, and
    nobody is told of them; those that are stored stay as they are.
    """
    database = services(request).database
    watches = _watches(wish)
    with database.read() as session:
        run = visible_run(session, run_id, grant)
        # What is raised meanwhile is of snapshots that the replay may not have met.
        known = {alert.id for alert in alerts_of(session, run_id)}
    found = replay_run(
        database,
        run_id,
        watches=watches,
        first_step=wish.from_step or 0,
        last_step=wish.to_step,
    )
    with database.read() as session:
        stored = alerts_of(session, run_id)
        answer = _answer(session, found, stored, wish, known=known)
    if wish.keep:
        with database.write() as session:
            answer.kept = keep_replayed(session, run_id, found, now=time.time())
            kept, name = f"{answer.kept} alerts", f"{run.project}/{run.run}"
            note_act(request, session, grant, Action.REPLAY_KEPT, name, kept)
    return answer


def _watches(wish: ReplayWish) -> tuple[AnyWatch, ...]:
    try:
        watches = (*WATCHES, *(OPTIONAL_WATCHES if wish.optional else ()))
        return tuned(without(watches, wish.without), wish.detectors)
    except ValueError as error:
        raise InvalidError(str(error), where="detectors") from error


def _answer(
    session: Session,
    found: list[Replayed],
    stored: list[StoredAlert],
    wish: ReplayWish,
    *,
    known: Collection[int],
) -> ReplayAnswer:
    kept = {(alert.attempt_id, alert.fingerprint) for alert in stored}
    raised = {(one.attempt_id, alert.fingerprint) for one in found for alert in one.alerts}
    return ReplayAnswer(
        snapshots=sum(one.snapshots for one in found),
        alerts=[
            _alert(alert, attempt_slug(session, one.attempt_id), one, kept)
            for one in found
            for alert in one.alerts
        ],
        not_raised=[
            alert.id
            for alert in stored
            if alert.id in known
            and (alert.attempt_id, alert.fingerprint) not in raised
            and (wish.from_step or 0) <= alert.detected_step
            and (wish.to_step is None or alert.detected_step <= wish.to_step)
        ],
        kept=0,
    )


def _alert(
    alert: Alert, attempt: str, replayed: Replayed, kept: set[tuple[int, str]]
) -> ReplayedAlert:
    return ReplayedAlert(
        attempt=attempt,
        fingerprint=alert.fingerprint,
        stored=(replayed.attempt_id, alert.fingerprint) in kept,
        kind=alert.kind,
        severity=alert.severity.value,
        statistic=alert.statistic,
        detected_step=alert.detected_step,
        onset_first_step=alert.onset_first_step,
        onset_last_step=alert.onset_last_step,
        score=alert.score,
        sentence=alert.sentence,
        parent=alert.parent,
        returned=alert.fingerprint in replayed.returned,
        tensors=[affected.tensor.name for affected in alert.tensors],
    )
