"""Projects, runs, tensors, snapshots, marks."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from fastapi import APIRouter, Request, Response

from bifurk_service.access import note_act
from bifurk_service.api.grants import Admin, Reader, visible_run
from bifurk_service.api.pagination import Cursor, Limit, decode_cursor, next_cursor
from bifurk_service.api.parameters import Glob, Layer, Role, RunId, Slug, Tag, Tags
from bifurk_service.api.schemas import (
    AttemptAnswer,
    MarkAnswer,
    Page,
    ProjectAnswer,
    ReadinessAnswer,
    RunAnswer,
    RunChange,
    RunDetailAnswer,
    SnapshotAnswer,
    TensorAnswer,
)
from bifurk_service.detect.readiness import readiness
from bifurk_service.pipeline.removing import remove_run
from bifurk_service.services import services
from bifurk_service.store import runs as store
from bifurk_service.store.audit import Action
from bifurk_service.store.beside import live_together
from bifurk_service.store.directives import pinned_snapshots
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.removal import hide_run
from bifurk_service.store.run_lists import RunSummary, list_projects, list_runs
from bifurk_service.store.run_sizes import run_bytes
from bifurk_service.store.scalars import scalar_names
from bifurk_service.store.series import find_tensors
from bifurk_service.store.snapshot_lists import list_marks, list_snapshots
from bifurk_service.store.sums import judged_so_far, snapshot_counts
from bifurk_service.store.tags import add_tag, checked_tag, remove_tag
from bifurk_service.store.thinned_ranges import thinned_ranges
from bifurk_service.store.timeline import Place, places
from bifurk_service.store.tokens import Grant

router = APIRouter(prefix="/api/v1", tags=["runs"])

MOST_REMOVAL_SECONDS: Final = 2.0
"""That an answer waits for rows and blobs to go; the run itself is gone at once."""


@router.get("/projects")
def get_projects(
    request: Request, grant: Reader, limit: Limit = 100, cursor: Cursor = None
) -> Page[ProjectAnswer]:
    """Projects, oldest first."""
    with services(request).database.read() as session:
        found = list_projects(
            session, after_id=decode_cursor(cursor), limit=limit, slug=grant.project
        )
    return Page(
        items=[ProjectAnswer.model_validate(project) for project in found],
        next_cursor=next_cursor([project.id for project in found], limit),
    )


@router.get("/runs")
def get_runs(
    request: Request,
    grant: Reader,
    *,
    project: Slug = None,
    run: Slug = None,
    tag: Tags = [],  # noqa: B006 - FastAPI's form of a repeated parameter
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[RunAnswer]:
    """Runs, oldest first."""
    if grant.project is not None and project not in (None, grant.project):
        return Page(items=[])
    with services(request).database.read() as session:
        found = list_runs(
            session,
            after_id=decode_cursor(cursor),
            limit=limit,
            project=grant.project or project,
            name=run,
            tags=[checked_tag(one) for one in tag],
        )
    return Page(
        items=[RunAnswer.model_validate(summary) for summary in found],
        next_cursor=next_cursor([summary.id for summary in found], limit),
    )


@router.get("/runs/{run_id}")
def get_run(request: Request, grant: Reader, run_id: RunId) -> RunDetailAnswer:
    """A run in full: attempts, losses, where its snapshots are, how ready its verdicts are."""
    with services(request).database.read() as session:
        return _detail(session, grant, run_id)


@router.patch("/runs/{run_id}")
def patch_run(request: Request, grant: Admin, run_id: RunId, change: RunChange) -> RunDetailAnswer:
    """Changes a run's display name, retention or budget; what is not sent stays."""
    with services(request).database.write() as session:
        name = _name(visible_run(session, run_id, grant))
        run = store.get_run(session, run_id)
        changed = change.model_dump(exclude_unset=True)
        for field, value in changed.items():
            setattr(run, field, value)
        session.flush()
        words = ", ".join(f"{field} {value!r}" for field, value in changed.items())
        note_act(request, session, grant, Action.RUN_CHANGED, name, words)
        return _detail(session, grant, run_id)


@router.put("/runs/{run_id}/tags/{tag}")
def put_tag(request: Request, grant: Admin, run_id: RunId, tag: Tag) -> RunDetailAnswer:
    """Puts a tag on a run; one that it has already stays."""
    with services(request).database.write() as session:
        name = _name(visible_run(session, run_id, grant))
        add_tag(session, run_id, tag)
        note_act(request, session, grant, Action.TAG_ADDED, name, tag)
        return _detail(session, grant, run_id)


@router.delete("/runs/{run_id}/tags/{tag}")
def delete_tag(request: Request, grant: Admin, run_id: RunId, tag: Tag) -> RunDetailAnswer:
    """Takes a tag off a run; the run is as it was where it had none of that name."""
    with services(request).database.write() as session:
        name = _name(visible_run(session, run_id, grant))
        remove_tag(session, run_id, tag)
        note_act(request, session, grant, Action.TAG_REMOVED, name, tag)
        return _detail(session, grant, run_id)


@router.delete("/runs/{run_id}", status_code=204)
def delete_run(request: Request, grant: Admin, run_id: RunId) -> Response:
    """Deletes a run: statistics, alerts, states and blobs; the name is free at once."""
    house = services(request)
    with house.database.write() as session:
        name = _name(visible_run(session, run_id, grant))
        hide_run(session, run_id)
        note_act(request, session, grant, Action.RUN_DELETED, name)
    # What takes longer the pipeline completes.
    until = time.monotonic() + MOST_REMOVAL_SECONDS
    remove_run(house.database, house.blobs, run_id, until=until)
    return Response(status_code=204)


@router.get("/runs/{run_id}/tensors")
def get_tensors(
    request: Request,
    grant: Reader,
    run_id: RunId,
    *,
    name: Glob = None,
    layer: Layer = None,
    role: Role = None,
) -> Page[TensorAnswer]:
    """A run's tensors in the order of the model; all in one page."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        found = find_tensors(session, run_id, glob=name, layer=layer, role=role)
    return Page(items=[TensorAnswer.model_validate(tensor) for tensor in found])


@router.get("/runs/{run_id}/snapshots")
def get_snapshots(
    request: Request, grant: Reader, run_id: RunId, limit: Limit = 100, cursor: Cursor = None
) -> Page[SnapshotAnswer]:
    """A run's snapshots as they came in, and where each is on its way."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        found = list_snapshots(session, run_id, after_id=decode_cursor(cursor), limit=limit)
        pinned = pinned_snapshots(session, [snapshot.id for snapshot, _ in found])
    return Page(
        items=[_snapshot(snapshot, attempt, pinned) for snapshot, attempt in found],
        next_cursor=next_cursor([snapshot.id for snapshot, _ in found], limit),
    )


@router.get("/runs/{run_id}/marks")
def get_marks(request: Request, grant: Reader, run_id: RunId) -> Page[MarkAnswer]:
    """What the run marked: checkpoints, evaluations, resumes, changes of interval; by step."""
    with services(request).database.read() as session:
        visible_run(session, run_id, grant)
        return Page(items=[MarkAnswer.model_validate(mark) for mark in list_marks(session, run_id)])


def _name(run: RunSummary) -> str:
    """As the audit log calls it."""
    return f"{run.project}/{run.run}"


def _detail(session: Session, grant: Grant, run_id: int) -> RunDetailAnswer:
    summary, run = visible_run(session, run_id, grant), store.get_run(session, run_id)
    attempts = store.attempts_of(session, run_id)
    counts = snapshot_counts(session, run_id)
    where = places(session, run_id)
    return RunDetailAnswer(
        **RunAnswer.model_validate(summary).model_dump(),
        attempts=[_attempt(attempt, where[attempt.id]) for attempt in attempts],
        live_together=[attempt.slug for attempt in live_together(session, run_id)],
        snapshots={**counts, "total": sum(counts.values())},
        readiness=_readiness(session, attempts),
        scalars=scalar_names(session, run_id),
        retention_days=run.retention_days,
        keep_bytes=run.keep_bytes,
        stored_bytes=run_bytes(session, run_id),
        thinned=thinned_ranges(session, run_id),
    )


def _attempt(attempt: Attempt, place: Place) -> AttemptAnswer:
    lies = {"first_step": place.first, "on_course": place.on_course, "course_end": place.end}
    columns = {
        name: getattr(attempt, name)
        for name in AttemptAnswer.model_fields
        if name != "attempt" and name not in lies
    }
    return AttemptAnswer(slug=attempt.slug, **lies, **columns)


def _readiness(session: Session, attempts: list[Attempt]) -> ReadinessAnswer:
    judged = judged_so_far(session, attempts[-1].id if attempts else -1)
    return ReadinessAnswer.model_validate(
        readiness(
            judged=judged.count,
            last_step=judged.last_step,
            interval_steps=judged.interval_steps,
        )
    )


def _snapshot(snapshot: Snapshot, attempt: str, pinned: Collection[int]) -> SnapshotAnswer:
    named = {"attempt": attempt, "pinned": snapshot.id in pinned}
    columns = {
        name: getattr(snapshot, name) for name in SnapshotAnswer.model_fields if name not in named
    }
    return SnapshotAnswer(**named, **columns)
