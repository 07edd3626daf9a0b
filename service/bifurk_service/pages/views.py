"""What a page is asked to show: its whole state, so that its address is a permanent link."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bifurk_service.api.parameters import Text
from bifurk_service.domain import LARGEST
from bifurk_service.figures.heatmap import Coloring
from bifurk_service.figures.step_axis import StepScale
from bifurk_service.figures.theme import ThemeName
from bifurk_service.stats.distributions.density import DensityUnit

Step = Annotated[int, Field(ge=0, le=LARGEST)]
StepText = Annotated[str, Field(pattern=r"^[0-9]{0,18}$")]
"""A step, or "" where a form leaves it open."""
RunIdText = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,17})?$")]
"""A run's id, or ""."""


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
            drawn below; "" for the loss. alerts: which of them are marked. attempt: what is
            drawn; "" for the run's course.
    """

    attempt: Annotated[Text, Field(max_length=128)] = ""
    stat: Annotated[Text, Field(max_length=512)] = "std"
    role: Annotated[Text, Field(max_length=64)] = ""
    color: Coloring = "change"
    scalar: Annotated[Text, Field(max_length=512)] = ""
    alerts: Literal["warning", "all"] = "warning"


class RunsView(BaseModel):
    """The list of runs.

    Attributes:
        search: in project, run and display name. state: of the newest attempt.
        tag: all of them are the run's. before: runs made before this id, for the next page.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    search: Annotated[Text, Field(max_length=128)] = ""
    state: Literal["", "running", "finished", "failed", "lost"] = ""
    tag: Annotated[tuple[Text, ...], Field(max_length=32)] = ()
    before: Annotated[int, Field(ge=1, le=LARGEST)] | None = None

    def toggled(self, tag: str) -> dict[str, object]:
        """The query of the same list with a tag asked for, or no longer."""
        tags = [one for one in self.tag if one != tag]
        if len(tags) == len(self.tag):
            tags.append(tag)
        return {"search": self.search or None, "state": self.state or None, "tag": tags}


class AlertsView(BaseModel):
    """The list of alerts.

    Attributes:
        search: in the sentence and the run's name. severity, kind: "" for any.
        state: ``unresolved`` is firing or acknowledged. project, run: whose; "" for all.
        parts: whether parts of other alerts are listed as well; silenced: whether what a rule
            keeps from people is. before: alerts raised before this id, for the next page.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    search: Annotated[Text, Field(max_length=128)] = ""
    severity: Literal["", "critical", "warning", "info"] = ""
    state: Literal["", "unresolved", "firing", "acknowledged", "resolved"] = ""
    kind: Annotated[Text, Field(max_length=64)] = ""
    project: Annotated[Text, Field(max_length=128)] = ""
    run: RunIdText = ""
    parts: Literal["hidden", "shown"] = "hidden"
    silenced: Literal["hidden", "shown"] = "shown"
    before: Annotated[int, Field(ge=1, le=LARGEST)] | None = None

    def but(self, **changed: object) -> dict[str, object]:
        """The query of the same list from its start, with some of it changed; defaults left out."""
        own = self.model_dump(exclude_defaults=True, exclude={"before"})
        return {name: value for name, value in (own | changed).items() if value != ""}


class TensorView(View):
    """The page of one tensor.

    Attributes:
        step: whose histogram, spectrum and statistics are shown; without one the last.
        unit: of the values. span: how much of them is shown; ``body`` ends at 0.1 and 99.9 %.
        density: how densities are coloured and drawn. alerts: which of them are marked.
    """

    step: Step | None = None
    unit: DensityUnit = "weight"
    span: Literal["body", "all"] = "body"
    density: Literal["linear", "log"] = "log"
    alerts: Literal["warning", "all"] = "all"


class AlertView(View):
    """The page of one alert.

    Attributes:
        stat: of the evidence; "" for the one the alert speaks of. values: how they are placed;
            auto is what the statistic is judged on. span: how much of the run is drawn.
        others: whether tensors of the same roles stand behind, for contrast.
        after: changes of its history after this one, by id, for the next page of them.
    """

    stat: Annotated[Text, Field(max_length=512)] = ""
    values: Literal["auto", "linear", "log"] = "auto"
    span: Literal["around", "run"] = "around"
    others: Literal["shown", "hidden"] = "shown"
    after: Annotated[int, Field(ge=0, le=LARGEST)] = 0


class BranchesView(View):
    """The page of a role's layers.

    Attributes:
        role: a role, or the name of one of its groups with ``*`` for the layer; "" for the role
            of the newest fork. stat: likewise. alert: the fork that colours, by its id.
        values: as they are, on a logarithmic axis, or relative to each layer's own first.
        at: step of the profile by depth; "" for the last that is looked at.
    """

    role: Annotated[Text, Field(max_length=512)] = ""
    stat: Annotated[Text, Field(max_length=512)] = ""
    alert: Annotated[str, Field(pattern=r"^(auto|none|[1-9][0-9]{0,17})$")] = "auto"
    values: Literal["value", "log", "relative"] = "value"
    at: Annotated[str, Field(pattern=r"^[0-9]{0,18}$")] = ""


class CompareView(View):
    """The page that sets two runs, or two steps of one, side by side.

    Attributes:
        a, b: ids of runs; ``b`` "" for another step of the same. a_step, b_step: "" for the newest
            that both have, or of one run its last and its first.
        search: in the names of the runs to choose from. match, role: which tensors, by a glob of
            the name and by role; "" for all. tensor: whose densities and courses are drawn; "" for
            the matrix whose deviation differs most.
        align: what courses are drawn over. good: ids of runs that are taken as good.
    """

    a: RunIdText = ""
    b: RunIdText = ""
    a_step: StepText = ""
    b_step: StepText = ""
    search: Annotated[Text, Field(max_length=128)] = ""
    match: Annotated[Text, Field(max_length=512)] = ""
    role: Annotated[Text, Field(max_length=64)] = ""
    tensor: Annotated[Text, Field(max_length=512)] = ""
    stat: Annotated[Text, Field(max_length=64)] = "std"
    align: Literal["steps", "tokens", "loss"] = "steps"
    values: Literal["auto", "linear", "log"] = "auto"
    unit: DensityUnit = "weight"
    span: Literal["body", "all"] = "body"
    density: Literal["linear", "log"] = "linear"
    good: Annotated[str, Field(pattern=r"^[0-9 ,]{0,400}$")] = ""

    @property
    def good_ids(self) -> list[int]:
        """Each once, in order, without the run that is held against them."""
        found = (int(one) for one in self.good.replace(",", " ").split())
        return [one for one in dict.fromkeys(found) if 1 <= one <= LARGEST and str(one) != self.a]
