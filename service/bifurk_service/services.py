"""What routes work with: one object, made by the composition root, found on the application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from bifurk_service.pipeline.loop import Pipeline
from bifurk_service.pipeline.notifying import Notifier
from bifurk_service.pipeline.presence import Presence
from bifurk_service.pipeline.workers import Engine
from bifurk_service.settings import Settings
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database
from bifurk_service.store.token_uses import TokenUses


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that lives as long as the application.

    Attributes:
        database: what requests read and write. pipelined: the same, with connections of the
            pipeline's own on PostgreSQL: neither waits for the other's.
        runs_pipeline: whether this process measures, judges and tells, or others do.
        presence: of this process among those that do.
        workers: what measures, here or on a cluster.
    """

    settings: Settings
    database: Database
    pipelined: Database
    blobs: BlobStore
    pipeline: Pipeline
    presence: Presence
    workers: Engine
    notifier: Notifier
    runs_pipeline: bool
    token_uses: TokenUses


def services(request: Request) -> Services:
    """The application's services."""
    return cast("Services", request.app.state.services)
