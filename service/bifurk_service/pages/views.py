"""What a page is asked to show: its whole state, so that its address is a permanent link."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bifurk_service.api.parameters import Text
from bifurk_service.domain import LARGEST
from bifurk_service.figures.heatmap import Coloring
from bifurk_service.figures.step_axis import StepScale
from bifurk_service.figures.theme import ThemeName

Step = Annotated[int, Field(ge=0, le=LARGEST)]


class View(BaseModel):
    """What all pages with a step axis share; ``to`` and ``from`` are what is looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    axis: StepScale = "linear"
    first: Step | None = Field(None, alias="from")
    last: Step | None = Field(None, alias="to")
    theme: ThemeName = "light"


class RunView(View):
    """The page of one run.

    Attributes:
        stat: of the heatmap. role: of the tensors in it; "" for all. scalar: the logged scalar
            drawn below; "" for the loss. alerts: which of them are marked.
    """

    stat: Annotated[Text, Field(max_length=512)] = "std"
    role: Annotated[Text, Field(max_length=64)] = ""
    color: Coloring = "change"
    scalar: Annotated[Text, Field(max_length=512)] = ""
    alerts: Literal["warning", "all"] = "warning"


class RunsView(BaseModel):
    """The list of runs.

    Attributes:
        search: in project, run and display name. state: of the newest attempt.
        before: runs made before this id, for the next page.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    search: Annotated[Text, Field(max_length=128)] = ""
    state: Literal["", "running", "finished", "failed", "lost"] = ""
    before: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
