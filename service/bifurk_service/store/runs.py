"""Projects, runs and attempts: found, made, listed, deleted."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from bifurk.wire import AttemptReport, LossReport, Manifest
from bifurk_service.domain import AttemptState
from bifurk_service.errors import NotFoundError
from bifurk_service.store.alerts import resolve_kind
from bifurk_service.store.events import append_event, require_line
from bifurk_service.store.logged import keep_last_words
from bifurk_service.store.models import Attempt, Project, Run, Snapshot, StoredPart
from bifurk_service.store.shown import is_shown
from bifurk_service.store.tags import add_tags

NOTHING_JUDGED = -1
CLIENT = "client"
"""Source of an attempt whose snapshots a client sends."""
SILENT = "silent"
"""The kind of alert that is over when its attempt is heard of again."""

_NAMED: Final = (
    select(Attempt, Run)
    .join(Run, Attempt.run_id == Run.id)
    .join(Project, Run.project_id == Project.id)
    .where(
        Project.slug == bindparam("project"),
        Run.slug == bindparam("run"),
        Attempt.slug == bindparam("attempt"),
    )
)


def ensure_run(session: Session, *, project: str, run: str, now: float) -> Run:
    """The run of these names, made with its project where they are new."""
    stored_project = session.scalar(select(Project).where(Project.slug == project))
    if stored_project is None:
        require_line(session)
        stored_project = Project(slug=project, created_at=now)
        session.add(stored_project)
        session.flush()
    stored_run = session.scalar(
        select(Run).where(Run.project_id == stored_project.id, Run.slug == run)
    )
    if stored_run is None:
        require_line(session)
        stored_run = Run(project_id=stored_project.id, slug=run, created_at=now, updated_at=now)
        session.add(stored_run)
        session.flush()
    stored_run.updated_at = now
    return stored_run


def ensure_attempt(
    session: Session, *, project: str, run: str, attempt: str, now: float
) -> Attempt:
    """The attempt of these names, made with its run and project where they are new."""
    found = _named(session, project=project, run=run, attempt=attempt)
    if found is None:
        made = ensure_run(session, project=project, run=run, now=now)
        return attempt_of(session, made, attempt, now=now)
    stored, of = found
    of.updated_at = stored.seen_at = now
    return stored


def attempt_of(session: Session, run: Run, slug: str, *, now: float) -> Attempt:
    """A run's attempt of this name, made where it is new; the run has news now."""
    stored = session.scalar(select(Attempt).where(Attempt.run_id == run.id, Attempt.slug == slug))
    if stored is None:
        require_line(session)
        stored = _new_attempt(run.id, slug, now)
        session.add(stored)
        session.flush()
        append_event(
            session,
            run_id=run.id,
            kind="attempt",
            now=now,
            data={"attempt": slug, "state": stored.state},
        )
    run.updated_at = now
    stored.seen_at = now
    return stored


def find_attempt(session: Session, *, project: str, run: str, attempt: str) -> Attempt | None:
    """The attempt of these names, or None."""
    found = _named(session, project=project, run=run, attempt=attempt)
    return None if found is None else found[0]


def _named(session: Session, **names: str) -> tuple[Attempt, Run] | None:
    row = session.execute(_NAMED, names).one_or_none()
    return None if row is None else (row[0], row[1])


def _new_attempt(run_id: int, slug: str, now: float) -> Attempt:
    return Attempt(
        run_id=run_id,
        slug=slug,
        state=AttemptState.RUNNING.value,
        created_at=now,
        seen_at=now,
        cursor=NOTHING_JUDGED,
        dropped={},
        lost_sequences=[],
        optimizer="",
        optimizer_settings={},
        client={},
    )


def apply_manifest(session: Session, attempt: Attempt, manifest: Manifest, *, now: float) -> None:
    """Takes over what a part says of its attempt."""
    if attempt.state == AttemptState.LOST.value:
        set_attempt_state(session, attempt, AttemptState.RUNNING, now=now)
    attempt.last_sequence = max(manifest.sequence, _or(attempt.last_sequence, manifest.sequence))
    attempt.last_step = max(manifest.step, _or(attempt.last_step, manifest.step))
    attempt.optimizer = manifest.optimizer
    attempt.optimizer_settings = dict(manifest.optimizer_settings)
    attempt.client = dict(manifest.client)
    apply_losses(attempt, manifest.loss_report)


def apply_losses(attempt: Attempt, report: LossReport) -> None:
    """Takes over a loss report; reports are cumulative, so the larger count is the later."""
    merged = dict(attempt.dropped)
    for reason, count in report.dropped.items():
        merged[reason] = max(count, merged.get(reason, 0))
    attempt.dropped = merged
    attempt.lost_sequences = _joined([*attempt.lost_sequences, *map(list, report.lost_sequences)])
    if report.overhead_ratio is not None:
        attempt.overhead_ratio = report.overhead_ratio


def _joined(ranges: list[list[int]]) -> list[list[int]]:
    """The same sequences as ascending, disjoint closed ranges, neighbours in one."""
    joined: list[list[int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(last, joined[-1][1])
        else:
            joined.append([first, last])
    return joined


def apply_attempt_report(
    session: Session, attempt: Attempt, report: AttemptReport, *, now: float
) -> None:
    """Takes over the state a client reports; what has ended stays ended as it first did."""
    if report.display_name is not None:
        run_of(session, attempt).display_name = report.display_name
    if report.tags and not attempt.tagged:
        # Once: what a person has taken off meanwhile stays off.
        add_tags(session, attempt.run_id, report.tags)
        attempt.tagged = True
    apply_losses(attempt, report.loss_report)
    attempt.interval_seconds = report.interval_seconds or attempt.interval_seconds
    attempt.last_sequence = _largest(attempt.last_sequence, report.last_sequence)
    attempt.last_step = _largest(attempt.last_step, report.last_step)
    if set_attempt_state(session, attempt, AttemptState(report.state), now=now):
        keep_last_words(session, attempt, report)


def set_attempt_state(
    session: Session, attempt: Attempt, state: AttemptState, *, now: float
) -> bool:
    """Moves an attempt on; whether it moved. What has finished or failed does not run again."""
    ended = {AttemptState.FINISHED.value, AttemptState.FAILED.value}
    if attempt.state == state.value or attempt.state in ended:
        return False
    if attempt.state == AttemptState.LOST.value:
        resolve_kind(session, attempt, SILENT, note="the attempt was heard of again", now=now)
    attempt.state = state.value
    attempt.ended_at = None if state is AttemptState.RUNNING else now
    append_event(
        session,
        run_id=attempt.run_id,
        kind="attempt",
        now=now,
        data={"attempt": attempt.slug, "state": state.value},
    )
    return True


def run_of(session: Session, attempt: Attempt) -> Run:
    """The run an attempt belongs to."""
    return get_run(session, attempt.run_id)


def get_run(session: Session, run_id: int) -> Run:
    """A run by its id.

    Raises:
        NotFoundError: there is none.
    """
    run = session.get(Run, run_id)
    if run is None:
        raise NotFoundError(f"no run {run_id}; `GET /api/v1/runs` lists them")
    return run


def attempt_slug(session: Session, attempt_id: int) -> str:
    """The slug of an attempt."""
    return session.get_one(Attempt, attempt_id).slug


def attempts_of(session: Session, run_id: int) -> list[Attempt]:
    """A run's attempts, oldest first."""
    return list(
        session.scalars(select(Attempt).where(Attempt.run_id == run_id).order_by(Attempt.id))
    )


def running_attempts(session: Session) -> list[Attempt]:
    """Attempts that count as running."""
    return list(session.scalars(select(Attempt).where(Attempt.state == AttemptState.RUNNING.value)))


def delete_run(session: Session, run_id: int) -> list[str]:
    """Deletes a run with all that hangs on it; returns its blobs' keys, for deletion after."""
    run = get_run(session, run_id)
    rows = session.execute(
        select(StoredPart.blob_key, StoredPart.stale_key)
        .join(Snapshot, StoredPart.snapshot_id == Snapshot.id)
        .join(Attempt, Snapshot.attempt_id == Attempt.id)
        .where(Attempt.run_id == run.id)
    )
    keys = [key for row in rows for key in row if key]
    session.execute(delete(Run).where(Run.id == run.id))
    return keys


def expired_runs(
    session: Session, *, default_days: float | None, now: float, run_id: int | None = None
) -> list[int]:
    """Runs, or one run, without news for longer than their retention."""
    query = select(Run.id, Run.updated_at, Run.retention_days).where(is_shown())
    if run_id is not None:
        query = query.where(Run.id == run_id)
    rows = session.execute(query)
    expired = []
    for one, updated_at, own_days in rows:
        days = own_days if own_days is not None else default_days
        if days is not None and now - updated_at > days * 86_400:
            expired.append(one)
    return expired


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _largest(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)
