"""What lives as long as the application: made of its settings, started and ended with it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from bifurk.wire import WireLimits
from bifurk_service.access import Allowances
from bifurk_service.api import stream
from bifurk_service.errors import SetupError
from bifurk_service.ingest.answers import Answers
from bifurk_service.ingest.receive import Receiver
from bifurk_service.metrics import ServiceMetrics, UnderWay
from bifurk_service.notify.addresses import AddressError, Destinations
from bifurk_service.notify.followed import FollowedPolicy
from bifurk_service.notify.sending import Sender
from bifurk_service.pages.courses import CourseCache
from bifurk_service.pages.gardens import ColumnCache
from bifurk_service.pages.turns import Turns
from bifurk_service.pipeline.cluster import check_cluster
from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.pipeline.duties import do_each
from bifurk_service.pipeline.ear import Ear
from bifurk_service.pipeline.housekeeping import Housekeeper
from bifurk_service.pipeline.jobs import SpectraSchedule
from bifurk_service.pipeline.loop import Pipeline
from bifurk_service.pipeline.moving_reasons import move_reasons
from bifurk_service.pipeline.notifying import Notifier
from bifurk_service.pipeline.presence import Presence
from bifurk_service.pipeline.thinning import Thinner
from bifurk_service.pipeline.workers import Engine, Workers
from bifurk_service.services import Services
from bifurk_service.settings import Settings
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.limits import Limits
from bifurk_service.store.token_uses import TokenUses


def wire(
    app: FastAPI,
    settings: Settings,
    make_executor: Callable[[int], Executor] | None,
    *,
    runs_pipeline: bool,
    stored: bool,
) -> None:
    """Puts together what the routes of an application work with.

    Args:
        settings: all of them. make_executor: what measures; a process pool where None.
        runs_pipeline: whether this process does. stored: whether its metrics tell the stored state.
    """
    database = Database(settings.resolved_database_url, _limits(settings))
    pipelined = database if database.of_one_process else Database(settings.resolved_database_url)
    blobs = open_blobs(settings.resolved_blob_url)
    listeners = stream.Listeners()
    metrics = ServiceMetrics(
        database,
        settings,
        under_way=UnderWay(
            parts=lambda: receiver.in_flight,
            parts_limit=settings.max_concurrent_parts,
            jobs=lambda: pipeline.jobs,
            jobs_limit=lambda: pipeline.jobs_limit if runs_pipeline else 0,
            listeners=lambda: listeners.count,
            runs_over_budget=lambda: thinner.over_budget,
        ),
        stored=stored,
    )
    presence = Presence(
        pipelined, capacity=settings.measure_workers, seconds=settings.lease_seconds
    )
    policy = FollowedPolicy(settings.alerts_file)
    notifier = Notifier(
        pipelined,
        policy,
        Sender(_destinations(settings)),
        public_url=settings.public_url or "",
        observe=metrics.notified,
        leads=presence.leads,
    )
    housekeeper = Housekeeper(
        pipelined,
        blobs,
        started_at=time.time(),
        silent_minimum_seconds=settings.silent_minimum_seconds,
        retention_days=settings.retention_days,
        audit_days=settings.audit_days,
        policy=policy,
        baselines=lambda: policy.current.baselines,
        leads=presence.leads,
    )

    thinner = Thinner(pipelined, blobs, keep_bytes=settings.keep_bytes_per_run)

    def observe(outcome: str, seconds: float) -> None:
        metrics.snapshot_moved(outcome, seconds)
        if outcome == "judged":
            notifier.wake()

    def chores() -> None:
        do_each(
            lambda: housekeeper.run(time.time()),
            lambda: condense_due(pipelined),
            lambda: move_reasons(pipelined),
            thinner.run,
        )

    workers = _engine(settings, make_executor)
    pipeline = Pipeline(
        pipelined,
        blobs,
        workers,
        presence,
        part_timeout_seconds=settings.part_timeout_seconds,
        spectra=SpectraSchedule(
            budget_seconds=settings.spectra_budget_seconds,
            vectors_every=settings.spectra_vectors_every,
        ),
        chores=chores,
        in_spare_time=lambda: housekeeper.go_on(time.time()),
        observe=observe,
        policy=policy,
    )

    def on_received(outcome: str, size_bytes: int) -> None:
        metrics.part_received(outcome, size_bytes)
        pipeline.wake()

    app.state.metrics = metrics
    app.state.listeners = listeners
    app.state.allowances = Allowances(
        requests_per_minute=settings.requests_per_minute,
        bytes_per_minute=settings.upload_bytes_per_minute,
    )
    app.state.courses = CourseCache()
    app.state.turns = Turns()
    app.state.columns = ColumnCache()
    app.state.services = Services(
        settings=settings,
        database=database,
        pipelined=pipelined,
        blobs=blobs,
        pipeline=pipeline,
        presence=presence,
        workers=workers,
        notifier=notifier,
        runs_pipeline=runs_pipeline,
        token_uses=TokenUses(database),
    )
    # A worker takes nothing in.
    app.state.ear = Ear(pipelined) if stored else None
    app.state.answers = answers = Answers()
    receiver = Receiver(
        database,
        blobs,
        limits=WireLimits(decoded_bytes=settings.max_decoded_bytes, tensors=settings.max_tensors),
        max_concurrent=settings.max_concurrent_parts,
        on_received=on_received,
        tell=answers.about,
    )
    app.state.receiver = receiver


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Runs what was wired for as long as the application is there."""
    house: Services = app.state.services
    await run_in_threadpool(house.database.check_current)
    if house.runs_pipeline:
        await run_in_threadpool(house.presence.start)
        house.pipeline.start()
    house.notifier.start(telling=house.runs_pipeline)
    ear: Ear | None = app.state.ear
    if ear is not None:
        ear.start()
    try:
        yield
    finally:
        if ear is not None:
            await run_in_threadpool(ear.stop)
        await run_in_threadpool(house.pipeline.stop)
        await run_in_threadpool(house.notifier.stop)
        await run_in_threadpool(house.presence.stop)
        house.pipelined.close()
        house.database.close()


def _engine(settings: Settings, make_executor: Callable[[int], Executor] | None) -> Engine:
    if settings.dask_scheduler is None:
        return Workers(settings.measure_workers, make_executor)
    check_cluster(settings.dask_scheduler)
    from bifurk_service.pipeline.cluster.engine import ClusterWorkers  # noqa: PLC0415 - an extra

    return ClusterWorkers(settings.dask_scheduler)


def _destinations(settings: Settings) -> Destinations:
    try:
        return Destinations(
            settings.notify_allowed_hosts, private=settings.notify_private_addresses
        )
    except AddressError as error:
        raise SetupError(f"BIFURK_NOTIFY_ALLOWED_HOSTS: {error}") from error


def _limits(settings: Settings) -> Limits:
    return Limits(
        connections=settings.database_connections,
        wait_seconds=settings.database_wait_seconds,
        statement_seconds=settings.database_statement_seconds,
    )
