"""The composition root: settings in, application out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

import bifurk
from bifurk_service.api import (
    alerts,
    audit,
    catalog,
    channels,
    comparisons,
    deliveries,
    distributions,
    evidence,
    exports,
    pins,
    pooling,
    profiles,
    replays,
    runs,
    sampling,
    series,
    spectra,
    stream,
    system,
    values,
)
from bifurk_service.api.doorkeeper import ANY_HOST, Doorkeeper
from bifurk_service.ingest import routes as ingest
from bifurk_service.ingest import series as imports
from bifurk_service.metrics import routes as metrics
from bifurk_service.pages import PAGES, SIGNING
from bifurk_service.pages.problem_pages import problem_page
from bifurk_service.pages.turns import in_turn
from bifurk_service.problems import DOCUMENTED, install_problem_handlers, problem_response
from bifurk_service.request_log import RequestLog
from bifurk_service.settings import Settings
from bifurk_service.wiring import lifespan, wire

READING = (
    runs,
    pins,
    series,
    profiles,
    distributions,
    sampling,
    values,
    spectra,
    pooling,
    comparisons,
    exports,
    alerts,
    evidence,
    replays,
    deliveries,
    channels,
    catalog,
    stream,
    audit,
    system,
)
"""The modules whose routers answer, in the order of the OpenAPI document."""
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def create_app(
    settings: Settings, *, make_executor: Callable[[int], Executor] | None = None
) -> FastAPI:
    """The application with everything behind it.

    Args:
        settings: all of them. make_executor: what measures; a process pool where None.
    """
    app = FastAPI(
        title="bifurk",
        version=bifurk.__version__,
        summary="How a model's weights move while it trains: statistics, alerts, series.",
        root_path=settings.root_path,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        responses=DOCUMENTED,
    )
    install_problem_handlers(app, page_of=problem_page)
    for module in (ingest, imports, *READING):
        app.include_router(module.router)
    for router in PAGES:
        app.include_router(router, dependencies=[Depends(in_turn)])
    for router in SIGNING:
        app.include_router(router)
    app.include_router(metrics.router)
    wire(app, settings, make_executor, runs_pipeline=settings.pipeline, stored=True)
    _guard(app, settings)
    return app


def create_worker(
    settings: Settings, *, make_executor: Callable[[int], Executor] | None = None
) -> FastAPI:
    """The pipeline by itself; it takes in nothing and answers how it is.

    Args:
        settings: all of them. make_executor: what measures; a process pool where None.
    """
    app = FastAPI(
        title="bifurk worker",
        version=bifurk.__version__,
        lifespan=lifespan,
        openapi_url=None,
    )
    install_problem_handlers(app, page_of=lambda _request, _problem: None)
    app.include_router(system.router)
    app.include_router(metrics.router)
    wire(app, settings, make_executor, runs_pipeline=True, stored=False)
    _guard(app, settings)
    return app


def _guard(app: FastAPI, settings: Settings) -> None:
    """What every request passes: the log first, then the door."""
    app.add_middleware(
        Doorkeeper,
        allowed_hosts=_allowed_hosts(settings),
        answer=problem_response,
        public_url=settings.public_url,
    )
    app.add_middleware(RequestLog, observe=app.state.metrics.answered)


def _operation_id(route: APIRoute) -> str:
    return route.name


def _allowed_hosts(settings: Settings) -> list[str]:
    """On loopback only its own names: no page elsewhere may reach in by a DNS name of its own."""
    if settings.allowed_hosts:
        return list(settings.allowed_hosts)
    return [*LOOPBACK_HOSTS, settings.url_host] if settings.on_loopback else [ANY_HOST]
