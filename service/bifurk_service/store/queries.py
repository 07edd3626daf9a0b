"""Lists and summaries of runs, as REST, pages, metrics and the command line show them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, false, func, or_, select, true
from sqlalchemy.orm import Session

from bifurk_service.domain import AlertState
from bifurk_service.errors import NotFoundError
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    Project,
    Run,
    Snapshot,
    StoredAlert,
    StoredMark,
    Tensor,
)
from bifurk_service.store.nearest import nearest_rows
from bifurk_service.store.reasons import statistics_told
from bifurk_service.store.series import timeline
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


def list_snapshots(
    session: Session, run_id: int, *, after_id: int, limit: int
) -> list[tuple[Snapshot, str]]:
    """A run's snapshots as they came in, each with its attempt's slug."""
    found: list[tuple[Snapshot, str]] = []
    # An attempt after the other: each is a range of an index, and the rest of it stays unread.
    for attempt_id, slug in session.execute(
        select(Attempt.id, Attempt.slug).where(Attempt.run_id == run_id)
    ).all():
        query = (
            select(Snapshot)
            .where(Snapshot.attempt_id == attempt_id, Snapshot.id > after_id)
            .order_by(Snapshot.id)
            .limit(limit)
        )
        found.extend((snapshot, slug) for snapshot in session.scalars(query))
    return sorted(found, key=lambda one: one[0].id)[:limit]


def list_marks(session: Session, run_id: int) -> list[StoredMark]:
    """Everything a run has marked, by step."""
    query = (
        select(StoredMark)
        .join(Snapshot, StoredMark.snapshot_id == Snapshot.id)
        .join(Attempt, Snapshot.attempt_id == Attempt.id)
        .where(Attempt.run_id == run_id)
        .order_by(StoredMark.step, StoredMark.id)
    )
    return list(session.scalars(query))


def judged_steps(session: Session, attempt_id: int) -> list[int]:
    """Steps of an attempt's judged snapshots on the grid, ascending."""
    query = (
        select(Snapshot.step)
        .where(
            Snapshot.attempt_id == attempt_id,
            Snapshot.state == "judged",
            Snapshot.off_grid.is_(False),
        )
        .order_by(Snapshot.sequence)
    )
    return list(session.scalars(query))


def get_tensor(session: Session, run_id: int, tensor_id: int) -> Tensor:
    """A tensor of a run.

    Raises:
        NotFoundError: the run has none of this id.
    """
    tensor = session.get(Tensor, tensor_id)
    if tensor is None or tensor.run_id != run_id:
        raise NotFoundError(
            f"run {run_id} has no tensor {tensor_id}; "
            f"`GET /api/v1/runs/{run_id}/tensors` lists them"
        )
    return tensor


def snapshot_at(
    session: Session, run_id: int, step: int | None, attempt: str | None = None
) -> Snapshot:
    """A run's snapshot at a step, of the newest attempt that has it; None: the last one measured.

    Args:
        attempt: only of this one.

    Raises:
        NotFoundError: there is none; names the nearest step that there is.
    """
    base = (
        select(Snapshot)
        .join(Attempt, Snapshot.attempt_id == Attempt.id)
        .where(Attempt.run_id == run_id, Snapshot.measured_at.is_not(None))
    )
    if attempt is not None:
        base = base.where(Attempt.slug == attempt)
    own = select(Attempt.id).where(Attempt.run_id == run_id).order_by(Attempt.id.desc())
    if attempt is not None:
        own = own.where(Attempt.slug == attempt)
    for attempt_id in session.scalars(own).all():
        found = _last_measured(session, attempt_id, step)
        if found is not None:
            return found
    of = f"run {run_id}" if attempt is None else f"attempt {attempt!r} of run {run_id}"
    if step is None:
        raise NotFoundError(f"{of} has no measured snapshot yet")
    nearest = session.scalar(base.order_by(func.abs(Snapshot.step - step)).limit(1))
    hint = "there is none yet" if nearest is None else f"the nearest is at step {nearest.step}"
    raise NotFoundError(f"{of} has no measured snapshot at step {step}; {hint}", where="step")


def _last_measured(session: Session, attempt_id: int, step: int | None) -> Snapshot | None:
    """An attempt's newest measured snapshot, or that at a step."""
    own = select(Snapshot).where(
        Snapshot.attempt_id == attempt_id, Snapshot.measured_at.is_not(None)
    )
    chosen = own if step is None else own.where(Snapshot.step == step)
    return session.scalar(chosen.order_by(Snapshot.step.desc()).limit(1))


def statistics_of(
    session: Session, tensor: Tensor, snapshot: Snapshot
) -> tuple[dict[str, float | None], dict[str, str]]:
    """All statistics of a tensor at a snapshot, and the reasons of those without a value.

    Raises:
        NotFoundError: the snapshot does not carry this tensor; names the nearest step that does.
    """
    row = (
        session.execute(
            statistics_told().where(
                TENSOR_STATS.c.tensor_id == tensor.id,
                TENSOR_STATS.c.attempt_id == snapshot.attempt_id,
                TENSOR_STATS.c.step == snapshot.step,
            )
        )
        .mappings()
        .first()
    )
    if row is None:
        raise not_carried(session, tensor, snapshot.step, thinned=snapshot.thinned > 0)
    return {name: row[name] for name in STATISTIC_NAMES}, dict(row["no_value"] or {})


def not_carried(
    session: Session, tensor: Tensor, step: int, *, thinned: bool = False
) -> NotFoundError:
    """What to raise where a snapshot is stored and does not carry a tensor, or no longer."""
    nearest = session.scalar(
        select(TENSOR_STATS.c.step)
        .where(TENSOR_STATS.c.tensor_id == tensor.id)
        .order_by(func.abs(TENSOR_STATS.c.step - step))
        .limit(1)
    )
    hint = "no step does yet" if nearest is None else f"the nearest that does is step {nearest}"
    if thinned:
        return NotFoundError(
            f"step {step} is thinned: of its stretch only the least and greatest values are kept, "
            f"which `series` shows; {hint}",
            where="step",
        )
    return NotFoundError(
        f"step {step} does not carry tensor {tensor.id} ({tensor.name}); {hint}", where="step"
    )


def measured_steps(session: Session, run_id: int, attempt: str | None = None) -> list[int]:
    """Steps of a run's course, or of one attempt, with a measured snapshot, ascending.

    Of what is thinned those that were left whole.
    Where a later attempt took over, what an earlier one had measured beyond does not count.
    """
    course = [
        and_(
            Snapshot.attempt_id == stretch.attempt_id,
            true() if stretch.end is None else Snapshot.step < stretch.end,
        )
        for stretch in timeline(session, run_id, attempt)
    ]
    query = (
        select(Snapshot.step)
        .where(or_(false(), *course), Snapshot.measured_at.is_not(None), Snapshot.thinned == 0)
        .distinct()
        .order_by(Snapshot.step)
    )
    return list(session.scalars(query))


def latest_values(
    session: Session, attempt_id: int, statistic: str, *, step: int
) -> dict[int, tuple[int, float]]:
    """By tensor, step and value of the newest that a statistic has at or before a step."""
    table = TENSOR_STATS.c
    rows = nearest_rows(
        session,
        TENSOR_STATS,
        (table.tensor_id, table.step, table[statistic]),
        attempt_id,
        step=step,
        with_value=statistic,
    )
    return {tensor_id: (at, value) for tensor_id, at, value in rows}
