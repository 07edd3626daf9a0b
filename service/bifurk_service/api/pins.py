"""Steps of a run that people keep from thinning."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bifurk_service.access import note_act
from bifurk_service.api.grants import Admin, Reader, visible_run
from bifurk_service.api.parameters import RunId
from bifurk_service.api.schemas import Page, Shape
from bifurk_service.domain import LARGEST
from bifurk_service.services import services
from bifurk_service.store.audit import Action
from bifurk_service.store.pins import pin, pins_of, unpin

router = APIRouter(prefix="/api/v1/runs/{run_id}/pins", tags=["runs"])


class PinWish(BaseModel):
    """Which steps are to stay whole, both included; the whole run without any."""

    model_config = ConfigDict(extra="forbid")
    first_step: int = Field(0, ge=0, le=LARGEST)
    last_step: int = Field(LARGEST, ge=0, le=LARGEST)

    @model_validator(mode="after")
    def _is_ascending(self) -> PinWish:
        if self.last_step < self.first_step:
            raise ValueError(f"from {self.first_step} to {self.last_step} there is no step")
        return self


class PinAnswer(Shape):
    """Steps that stay whole, both included."""

    id: int
    first_step: int
    last_step: int
    created_at: float = Field(description="Seconds since 1970 UTC.")


@router.get("")
def get_pins(request: Request, grant: Reader, run_id: RunId) -> Page[PinAnswer]:
    """A run's pins, by their first step; those of alerts are not among them."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        return Page(items=[PinAnswer.model_validate(one) for one in pins_of(session, run_id)])


@router.post("")
def post_pin(request: Request, grant: Admin, run_id: RunId, wish: PinWish) -> PinAnswer:
    """Keeps steps of a run whole; what is thinned already does not come back."""
    with services(request).database.write() as session:
        run = visible_run(session, run_id, grant)
        made = pin(session, run_id, wish.first_step, wish.last_step, now=time.time())
        steps = f"steps {made.first_step} to {made.last_step}"
        note_act(request, session, grant, Action.PIN_ADDED, f"{run.project}/{run.run}", steps)
        return PinAnswer.model_validate(made)


@router.delete("/{pin_id}", status_code=204)
def delete_pin(
    request: Request,
    grant: Admin,
    run_id: RunId,
    pin_id: Annotated[int, Path(ge=1, le=LARGEST, description="A pin's id.")],
) -> Response:
    """Takes a pin away."""
    with services(request).database.write() as session:
        run = visible_run(session, run_id, grant)
        unpin(session, run_id, pin_id)
        name = f"{run.project}/{run.run}"
        note_act(request, session, grant, Action.PIN_REMOVED, name, f"pin {pin_id}")
    return Response(status_code=204)
