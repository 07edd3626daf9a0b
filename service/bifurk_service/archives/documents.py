"""The forms of what columns hold as JSON: an archive's are checked by them before they come in.

Readers take them at their word: a document of another form would be an error of the server's
whenever somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from bifurk_service.domain import LARGEST

Place = Annotated[int, Field(ge=0, le=LARGEST)]
"""A step, a sequence, a size or a count."""
Pair = Annotated[list[Place], Field(min_length=2, max_length=2)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Details = dict[str, str | Number | bool | None]


class _NoVerdict(BaseModel):
    no_verdict: str


class _Mark(BaseModel):
    kind: str
    step: Place
    details: Details


class _Affected(BaseModel):
    """A tensor of an alert."""

    id: int
    name: str
    layer: int | None
    role: str
    statistics: list[str]
    onset_first_step: Place
    onset_last_step: Place
    before: Number | None
    after: Number | None
    score: Number | None
    first_statistic: str
    branch: Place | None


class _Evidence(BaseModel):
    """What any kind of alert rests on: each has some of these."""

    detector: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    detections: list[dict[str, Any]] = Field(default_factory=list)
    followers: list[dict[str, Any]] = Field(default_factory=list)
    courses: list[dict[str, Any]] = Field(default_factory=list)
    good: dict[str, Place] = Field(default_factory=dict)
    good_out: dict[str, Place] = Field(default_factory=dict)


class _Outlier(BaseModel):
    value: Number
    side: str


class _Bulk(BaseModel):
    p: Place
    n: Place
    sigma: Annotated[Number, Field(ge=0.0)]
    lower_edge: Number
    upper_edge: Number
    lower_threshold: Number | _NoVerdict
    upper_threshold: Number
    below: Place | _NoVerdict
    above: Place
    outliers: list[_Outlier]


class _PowerLaw(BaseModel):
    alpha: Number
    x_min: Number
    ks_distance: Number
    tail_count: Place


class _Spectrum(BaseModel):
    raw: _NoVerdict | _Bulk
    biwhitened: _NoVerdict | _Bulk
    power_law: _NoVerdict | _PowerLaw


FORMS: Final[Mapping[tuple[str, str], Any]] = {
    ("attempts", "dropped"): dict[str, Place],
    ("attempts", "lost_sequences"): list[Pair],
    ("attempts", "optimizer_settings"): Details,
    ("attempts", "client"): dict[str, str],
    ("thinnings", "reached"): list[Place],
    ("thinnings", "pieces"): list[Pair] | None,
    ("detector_states", "pieces"): list[Pair] | None,
    ("tensors", "shape"): list[Place],
    ("snapshots", "learning_rates"): list[Number | None],
    ("marks", "details"): Details,
    ("directives", "tensors"): list[str],
    ("tensor_stats", "no_value"): dict[str, str] | None,
    ("spectra", "document"): _Spectrum,
    ("alerts", "tensors"): list[_Affected],
    ("alerts", "explained_by"): list[_Mark],
    ("alerts", "checkpoint"): _Mark | None,
    ("alerts", "evidence"): _Evidence,
}
"""By table and column; a test looks that no column of documents is left out."""


def wrong_form(table: str, column: str, value: Any) -> str | None:
    """What is wrong with a document, in a few words; None where nothing is, or it is none."""
    if (table, column) not in FORMS:
        return None
    try:
        _reader(FORMS[table, column]).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:60]
        return f"is of another form ({f'{where}: ' if where else ''}{first['msg']})"
    return None


@cache
def _reader(form: Any) -> TypeAdapter[Any]:
    return TypeAdapter(form)
