"""The page of a run as one file that needs nothing else: to keep, to send, to look at offline."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, get_args

from fastapi import APIRouter, Query, Request, Response
from markupsafe import Markup

from bifurk_service.api.grants import Reader
from bifurk_service.api.parameters import RunId
from bifurk_service.domain import Severity
from bifurk_service.figures.theme import ThemeName
from bifurk_service.pages.alert_evidence import get_evidence_figure
from bifurk_service.pages.assets import asset
from bifurk_service.pages.overview import get_overview
from bifurk_service.pages.rendering import page, root_of
from bifurk_service.pages.run import read_run
from bifurk_service.pages.views import AlertView, RunView
from bifurk_service.services import services
from bifurk_service.store.models import StoredAlert

router = APIRouter(prefix="/runs/{run_id}", include_in_schema=False)

THEMES: Final[tuple[ThemeName, ...]] = get_args(ThemeName)
MOST_EVIDENCE: Final = 12
"""Alerts whose evidence is drawn, the gravest first; the table has all."""
SCRIPTS: Final = ("page.js", "bokeh.min.js", "report.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFigure:
    """A figure in the file: by theme its JSON as a script's text; none where nothing is to draw."""

    name: str
    items: dict[ThemeName, Markup]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAlert:
    """An alert and the figure of its evidence."""

    alert: StoredAlert
    figure: ReportFigure


@router.get("/report")
def get_report(
    request: Request, grant: Reader, run_id: RunId, view: Annotated[RunView, Query()]
) -> Response:
    """The run's facts, figures, alerts and tensors in one HTML file, in light and dark."""
    outside = _from_outside(request)
    with services(request).database.read() as session:
        context = read_run(session, grant, run_id)
    overview = ReportFigure(
        name="overview",
        items=_items(
            (theme, get_overview(outside, grant, run_id, view.model_copy(update={"theme": theme})))
            for theme in THEMES
        ),
    )
    scripts = [Markup(asset(name).decode()) for name in SCRIPTS]  # noqa: S704 - our own files
    policy = _policy(scripts)
    answer = page(
        outside,
        "report.html",
        view=view,
        overview=overview,
        evidence=_evidence(outside, grant, context["alerts"]),
        scripts=scripts,
        style=Markup(asset("page.css").decode()),  # noqa: S704 - our own file
        icon=base64.b64encode(asset("icon.svg")).decode(),
        policy=policy,
        themes=THEMES,
        made_at=time.time(),
        **context,
    )
    answer.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'"
    name = re.sub(r"[^\w.-]+", "-", context["run"].run, flags=re.ASCII)
    answer.headers["Content-Disposition"] = f'attachment; filename="bifurk-{name}.html"'
    return answer


def _from_outside(request: Request) -> Request:
    """The same request, whose links are whole addresses: they are to work from a file."""
    public = services(request).settings.public_url
    host = f"{request.url.scheme}://{request.url.netloc}{root_of(request)}"
    return Request({**request.scope, "root_path": (public or host).rstrip("/")})


def _evidence(outside: Request, grant: Reader, alerts: Sequence[StoredAlert]) -> list[ReportAlert]:
    """The standing alerts that people are told of, the gravest first, each with its figure."""
    told = [
        alert
        for alert in alerts
        if alert.severity != Severity.INFO.value
        and not alert.superseded
        and not alert.silenced_by
        and alert.tensors
    ]
    ordered = sorted(told, key=lambda one: (-Severity(one.severity).rank, one.detected_step))
    return [
        ReportAlert(
            alert=alert,
            figure=ReportFigure(
                name=f"alert-{alert.id}",
                items=_items(
                    (theme, get_evidence_figure(outside, grant, alert.id, AlertView(theme=theme)))
                    for theme in THEMES
                ),
            ),
        )
        for alert in ordered[:MOST_EVIDENCE]
    ]


def _items(answers: Iterable[tuple[ThemeName, Response]]) -> dict[ThemeName, Markup]:
    return {theme: _data(bytes(answer.body)) for theme, answer in answers if answer.body}


def _data(json: bytes) -> Markup:
    """JSON that no text in it can end the script with: ``<`` is written as an escape."""
    return Markup(json.decode().replace("<", "\\u003c"))  # noqa: S704 - nothing left to escape


def _policy(scripts: Sequence[str]) -> str:
    """These scripts and no others run, and nothing is asked for anywhere."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"
        for one in scripts
    )
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {hashes}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
