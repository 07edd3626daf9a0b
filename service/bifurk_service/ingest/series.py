"""Runs made by hand, and series computed elsewhere: CSV or JSON lines in, watched like our own."""

from __future__ import annotations

import time
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from bifurk.wire import check_slug
from bifurk_service.access import check_project, note_act
from bifurk_service.domain import LARGEST
from bifurk_service.errors import InvalidError, UnsupportedMediaError
from bifurk_service.importing.points import MOST_POINTS, Point
from bifurk_service.importing.series_text import Form, read_points
from bifurk_service.ingest.bodies import read_in_time
from bifurk_service.ingest.receive import Receiver
from bifurk_service.ingest.routes import Writer
from bifurk_service.services import services
from bifurk_service.stats.statistic import Nature
from bifurk_service.store.audit import Action
from bifurk_service.store.imported_points import Described, Imported, keep_points
from bifurk_service.store.run_lists import RunSummary, run_summary
from bifurk_service.store.runs import ensure_run
from bifurk_service.store.tokens import Grant

router = APIRouter(prefix="/api/v1/runs", tags=["ingest"])

FORMS: Final[dict[str, Form]] = {
    "text/csv": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
}
NATURES: Final = (Nature.INTEGRATED, Nature.STATIONARY, Nature.BOUNDED)


class NewRun(BaseModel):
    """A run to be made; one of these names that is there already is answered as it is."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field("default", description="Its project; a slug.")
    run: str = Field(description="Its name; a slug.")
    display_name: str | None = Field(None, max_length=512)


class MadeRun(BaseModel):
    """A run's id."""

    id: int


class ImportAnswer(BaseModel):
    """What became of an import."""

    points: int = Field(description="Values in the body, repeated ones counted once.")
    new_points: int = Field(description="Of them, those that were not stored before.")
    new_steps: int = Field(description="Steps that detectors now look at.")
    first_step: int
    last_step: int


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    responses={200: {"model": MadeRun, "description": "It was there"}},
)
def create_run(request: Request, response: Response, grant: Writer, wanted: NewRun) -> MadeRun:
    """Makes a run that series are imported into. 201 when made now, 200 when it was there."""
    check_project(grant, wanted.project)
    for what, slug in (("project", wanted.project), ("run", wanted.run)):
        try:
            check_slug(slug, what)
        except ValueError as error:
            raise InvalidError(str(error), where=what) from None
    with services(request).database.write() as session:
        now = time.time()
        run = ensure_run(session, project=wanted.project, run=wanted.run, now=now)
        if run.created_at == now:
            name = f"{wanted.project}/{wanted.run}"
            note_act(request, session, grant, Action.RUN_MADE, name)
        else:
            response.status_code = HTTPStatus.OK
        run.display_name = wanted.display_name or run.display_name
        return MadeRun(id=run.id)


@router.post("/{run_id}/series")
async def post_series(
    request: Request,
    grant: Writer,
    run_id: Annotated[int, Path(ge=1, le=LARGEST, description="A run's id.")],
    *,
    nature: Annotated[
        list[str],
        Query(
            max_length=200,
            description="`NAME=integrated|stationary|bounded`, of a statistic outside the table; "
            "integrated without it. May be repeated.",
        ),
    ] = [],  # noqa: B006 - FastAPI's form of a repeated parameter
    log: Annotated[
        list[str],
        Query(
            max_length=200,
            description="Names of statistics outside the table that are positive and "
            "multiplicative: watched on the logarithm. May be repeated.",
        ),
    ] = [],  # noqa: B006
) -> ImportAnswer:
    """Takes statistics computed elsewhere: CSV with a header, or JSON lines.

    Each value has `step`, `statistic`, `value` and, unless it is said of the whole model, `tensor`.
    Names of the table of statistics mean what the table says; others are the run's own.
    """
    house = services(request)
    with house.database.read() as session:
        run = run_summary(session, run_id)
        check_project(grant, run.project)
    form = _form(request)
    described = _described(nature, log)
    receiver: Receiver = request.app.state.receiver
    with receiver.slot():
        body = await read_in_time(request, grant, house.settings.max_part_bytes)
        kept = await run_in_threadpool(
            lambda: _keep(request, grant, run, _points(body, form), described)
        )
    return ImportAnswer(
        points=kept.points,
        new_points=kept.new_points,
        new_steps=kept.new_steps,
        first_step=kept.first_step,
        last_step=kept.last_step,
    )


def _keep(
    request: Request,
    grant: Grant,
    run: RunSummary,
    points: list[Point],
    described: dict[str, Described],
) -> Imported:
    house = services(request)
    with house.database.write() as session:
        kept = keep_points(session, run.id, points, described=described, now=time.time())
        if kept.new_points:
            said = f"{kept.new_points} values at {kept.new_steps} steps"
            name = f"{run.project}/{run.run}"
            note_act(request, session, grant, Action.SERIES_IMPORTED, name, said)
    house.pipeline.wake()
    return kept


def _points(body: bytes, form: Form) -> list[Point]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidError(f"the text is UTF-8; byte {error.start} is not", where="body") from None
    points = list(islice(read_points(text.splitlines(keepends=True), form), MOST_POINTS + 1))
    if len(points) > MOST_POINTS:
        raise InvalidError(f"at most {MOST_POINTS} values a request; whole steps in each")
    return points


def _form(request: Request) -> Form:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in FORMS:
        raise UnsupportedMediaError(
            f"Content-Type is one of {', '.join(FORMS)}, got {media_type or 'none'!r}",
            where="Content-Type",
        )
    return FORMS[media_type]


def _described(natures: list[str], logarithmic: list[str]) -> dict[str, Described]:
    found = {}
    for text in natures:
        name, _, word = text.rpartition("=")
        if not name or word not in NATURES:
            raise InvalidError(
                f"expected NAME={'|'.join(NATURES)}, got {text!r:.80}", where="nature"
            )
        found[name] = Described(nature=Nature(word), log_scale=name in logarithmic)
    for name in logarithmic:
        found.setdefault(name, Described(log_scale=True))
    return found
