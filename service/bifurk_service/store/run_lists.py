"""Lists and summaries of projects and runs, as REST, pages and the command line show them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from bifurk_service.domain import AlertState
from bifurk_service.errors import NotFoundError
from bifurk_service.store.models import Attempt, Project, Run, StoredAlert
from bifurk_service.store.shown import is_shown
from bifurk_service.store.tags import has_tag_with, tagged, tags_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSummary:
    """A project and how many runs it has."""

    id: int
    project: str
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run as lists show it: its newest attempt's state, and unresolved alerts by severity."""

    id: int
    project: str
    run: str
    display_name: str | None
    state: str
    created_at: float
    updated_at: float
    last_step: int | None
    overhead_ratio: float | None
    alerts: dict[str, int]
    tags: list[str]


def list_projects(
    session: Session, *, after_id: int, limit: int, slug: str | None = None
) -> list[ProjectSummary]:
    """Projects in the order they were made."""
    query = (
        select(Project.id, Project.slug, func.count(Run.id))
        .outerjoin(Run, (Run.project_id == Project.id) & is_shown())
        .where(Project.id > after_id)
        .group_by(Project.id, Project.slug)
        .order_by(Project.id)
        .limit(limit)
    )
    if slug is not None:
        query = query.where(Project.slug == slug)
    return [
        ProjectSummary(id=project_id, project=project, runs=runs)
        for project_id, project, runs in session.execute(query)
    ]


def list_runs(
    session: Session,
    *,
    after_id: int = 0,
    limit: int | None = None,
    project: str | None = None,
    name: str | None = None,
    run_ids: Sequence[int] | None = None,
    tags: Sequence[str] = (),
) -> list[RunSummary]:
    """Runs in the order they were made; of one project or name, with all of some tags."""
    query = (
        select(Run, Project.slug)
        .join(Project, Run.project_id == Project.id)
        .where(Run.id > after_id, is_shown(), *tagged(tags))
        .order_by(Run.id)
        .limit(limit)
    )
    if project is not None:
        query = query.where(Project.slug == project)
    if name is not None:
        query = query.where(Run.slug == name)
    if run_ids is not None:
        query = query.where(Run.id.in_(run_ids))
    rows = session.execute(query).all()
    ids = [run.id for run, _ in rows]
    newest = _newest_attempts(session, ids)
    alerts, own_tags = _unresolved(session, ids), tags_of(session, ids)
    return [
        _summary(
            run, slug, newest.get(run.id), alerts.get(run.id, {}), tags=own_tags.get(run.id, [])
        )
        for run, slug in rows
    ]


def search_runs(
    session: Session,
    *,
    text: str = "",
    state: str = "",
    tags: Sequence[str] = (),
    project: str | None = None,
    before_id: int | None = None,
    limit: int,
) -> list[RunSummary]:
    """Runs, newest first, whose project, name, display name or one of its tags holds a text.

    Args:
        state: of the newest attempt; "" for any. tags: all of them are the run's.
        project: the only one, if not None. before_id: runs with smaller ids.
    """
    newest = select(Attempt.run_id, func.max(Attempt.id).label("id")).group_by(Attempt.run_id)
    last = newest.subquery()
    query = (
        select(Run.id)
        .join(Project, Run.project_id == Project.id)
        .outerjoin(last, last.c.run_id == Run.id)
        .outerjoin(Attempt, Attempt.id == last.c.id)
        .where(is_shown(), *tagged(tags))
        .order_by(Run.id.desc())
        .limit(limit)
    )
    if text:
        columns = (Project.slug, Run.slug, Run.display_name)
        held = (column.icontains(text, autoescape=True) for column in columns)
        query = query.where(or_(*held, has_tag_with(text)))
    if state:
        query = query.where(func.coalesce(Attempt.state, "running") == state)
    if project is not None:
        query = query.where(Project.slug == project)
    if before_id is not None:
        query = query.where(Run.id < before_id)
    return list_runs(session, run_ids=list(session.scalars(query)))[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunName:
    """What a run is called."""

    project: str
    run: str
    display_name: str | None


def run_names(session: Session, run_ids: Collection[int]) -> dict[int, RunName]:
    """By id what runs are called; without those that are not there."""
    query = (
        select(Run.id, Project.slug, Run.slug, Run.display_name)
        .join(Project, Run.project_id == Project.id)
        .where(Run.id.in_(run_ids))
    )
    return {
        run_id: RunName(project=project, run=run, display_name=display_name)
        for run_id, project, run, display_name in session.execute(query)
    }


def run_summary(session: Session, run_id: int) -> RunSummary:
    """One run's summary.

    Raises:
        NotFoundError: there is none.
    """
    found = list_runs(session, run_ids=[run_id])
    if not found:
        raise NotFoundError(f"no run {run_id}; `GET /api/v1/runs` lists them")
    return found[0]


def _summary(
    run: Run, project: str, attempt: Attempt | None, alerts: dict[str, int], *, tags: list[str]
) -> RunSummary:
    return RunSummary(
        id=run.id,
        project=project,
        run=run.slug,
        display_name=run.display_name,
        state=attempt.state if attempt else "running",
        created_at=run.created_at,
        updated_at=run.updated_at,
        last_step=attempt.last_step if attempt else None,
        overhead_ratio=attempt.overhead_ratio if attempt else None,
        alerts=alerts,
        tags=tags,
    )


def _newest_attempts(session: Session, run_ids: Sequence[int]) -> dict[int, Attempt]:
    query = select(Attempt).where(Attempt.run_id.in_(run_ids)).order_by(Attempt.id)
    return {attempt.run_id: attempt for attempt in session.scalars(query)}


def _unresolved(session: Session, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    query = (
        select(StoredAlert.run_id, StoredAlert.severity, func.count())
        .where(
            StoredAlert.run_id.in_(run_ids),
            StoredAlert.state != AlertState.RESOLVED.value,
            StoredAlert.silenced_by.is_(None),
        )
        .group_by(StoredAlert.run_id, StoredAlert.severity)
    )
    counts: dict[int, dict[str, int]] = {}
    for run_id, severity, count in session.execute(query):
        counts.setdefault(run_id, {})[severity] = count
    return counts
