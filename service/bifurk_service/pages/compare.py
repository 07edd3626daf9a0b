"""Two runs or two steps side by side, and a run against a band of good ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from bifurk_service.api.comparison_shapes import (
    ComparedTensorAnswer,
    ComparisonAnswer,
    PartedAnswer,
)
from bifurk_service.api.comparisons import get_comparison
from bifurk_service.api.grants import Reader
from bifurk_service.api.parameters import check_statistics
from bifurk_service.errors import NotFoundError
from bifurk_service.pages.baselines import good_runs, held_against
from bifurk_service.pages.compared import compared
from bifurk_service.pages.compared_settings import compared_settings
from bifurk_service.pages.rendering import page
from bifurk_service.pages.views import CompareView
from bifurk_service.services import services
from bifurk_service.stats.baseline import BY_CHANCE, HOLD, LEAST_TO_TELL
from bifurk_service.stats.registry import BY_NAME, Nature
from bifurk_service.store.engine import Session
from bifurk_service.store.run_lists import RunSummary, list_runs, search_runs
from bifurk_service.store.tokens import Grant

router = APIRouter(prefix="/compare", include_in_schema=False)

MOST_RUNS: Final = 100
"""To choose from; the search narrows them down."""
MOST_ROWS: Final = 40
"""Tensors in the table of differences; REST and ``bifurk compare --json`` have all."""
FIRST_ROWS: Final = 12
"""Of them, those that are seen at once."""

View = Annotated[CompareView, Query()]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingTensor:
    """A line of the table: how far apart, and since when, where runs part."""

    compared: ComparedTensorAnswer
    parted: PartedAnswer | None


@router.get("")
def get_compare_page(request: Request, grant: Reader, view: View) -> HTMLResponse:
    """The page; its figures and slower parts come by themselves."""
    check_statistics(view.stat)
    found, missing, settings = None, "", None
    with services(request).database.read() as session:
        try:
            found = compared(session, grant, view)
        except NotFoundError as error:
            missing = error.detail
        if found is not None:
            settings = compared_settings(session, found)
        choices = _choices(session, grant, view)
    return page(
        request,
        "compare.html",
        view=view,
        found=found,
        missing=missing,
        settings=settings,
        choices=choices,
        statistics=[name for name, one in BY_NAME.items() if one.nature is not Nature.CLASS],
        roles=sorted({one.role for one in found.this.tensors.values()}) if found else [],
    )


@router.get("/parts/differences")
def get_differences(request: Request, grant: Reader, view: View) -> Response:
    """A part of the page: what differs in words, and the tensors that differ most."""
    with services(request).database.read() as session:
        found = compared(session, grant, view)
    if found is None:
        return Response(status_code=204)
    answer = get_comparison(
        request,
        grant,
        found.this.run.id,
        other=found.other.run.id,
        step=found.this.step,
        with_step=found.other.step,
        tensor=view.match or None,
        role=view.role or None,
    )
    rows = differing_tensors(answer)
    return page(
        request,
        "compare_differences.html",
        view=view,
        found=found,
        answer=answer,
        rows=rows[:MOST_ROWS],
        count=len(rows),
        first=FIRST_ROWS,
        asked=_asked(request),
    )


@router.get("/parts/leaving")
def get_leaving(request: Request, grant: Reader, view: View) -> Response:
    """A part of the page: which layers leave the band of the good runs, in order."""
    check_statistics(view.stat)
    with services(request).database.read() as session:
        found = compared(session, grant, view)
        good = good_runs(session, grant, view)
        if found is None or not good:
            return Response(status_code=204)
        enough = len(good) >= LEAST_TO_TELL
        held = held_against(request, session, found.this.run.id, good, view) if enough else []
    left = sorted(
        ((one.left.step, place) for place, one in enumerate(held) if one.left is not None),
    )
    return page(
        request,
        "compare_leaving.html",
        view=view,
        found=found,
        good=good,
        enough=enough,
        held=[held[place] for _, place in left],
        asked=_asked(request),
        count=len(held),
        every=held[0].every if held else 1,
        hold=HOLD,
        least=LEAST_TO_TELL,
        by_chance=BY_CHANCE[max(few for few in BY_CHANCE if few <= max(len(good), LEAST_TO_TELL))],
    )


def differing_tensors(answer: ComparisonAnswer) -> list[DifferingTensor]:
    """The tensors that part, the earliest first, then those whose distributions differ, by KS."""
    parting = answer.parting.tensors if answer.parting is not None else []
    parted = {one.tensor.name: one for one in parting}
    found = [
        DifferingTensor(compared=one, parted=parted.get(one.tensor.name))
        for one in answer.tensors
        if one.ks or one.tensor.name in parted
    ]

    def order(row: DifferingTensor) -> tuple[float, float]:
        step = float("inf") if row.parted is None else float(row.parted.step)
        return step, -(row.compared.ks or 0.0)

    return sorted(found, key=order)


def _choices(session: Session, grant: Grant, view: CompareView) -> Sequence[RunSummary]:
    """The newest runs whose names hold the text, and those chosen already."""
    found = search_runs(session, text=view.search.strip(), project=grant.project, limit=MOST_RUNS)
    known = {run.id for run in found}
    wanted = [int(one) for one in (view.a, view.b) if one] + view.good_ids
    chosen = list_runs(
        session,
        run_ids=[one for one in wanted if one not in known],
        project=grant.project,
    )
    return [*chosen, *found]


def _asked(request: Request) -> dict[str, str]:
    """This page's query, for links that change one thing of it."""
    return {name: value for name, value in request.query_params.items() if name != "theme"}
