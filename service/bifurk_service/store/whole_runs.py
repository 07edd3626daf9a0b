"""A whole run as rows: read out table by table, and brought in under ids of this database's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Select, Table, and_, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bifurk_service.domain import AttemptState
from bifurk_service.errors import ConflictError, InvalidError, NotFoundError
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    Base,
    Project,
    Run,
    Snapshot,
    StoredPart,
    Tensor,
)
from bifurk_service.store.reasons import reasons_ids, statistics_told
from bifurk_service.store.removal import COMING
from bifurk_service.store.run_lists import list_runs
from bifurk_service.store.snapshots import MEASURED, RECEIVED
from bifurk_service.store.state_pieces import digest_of

REFERENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "run_tags": {"run_id": "runs"},
    "pins": {"run_id": "runs"},
    "attempts": {"run_id": "runs"},
    "tensors": {"run_id": "runs", "piece_of": "tensors"},
    "series": {"run_id": "runs"},
    "imported_statistics": {"run_id": "runs"},
    "snapshots": {"attempt_id": "attempts"},
    "parts": {"snapshot_id": "snapshots"},
    "marks": {"snapshot_id": "snapshots"},
    "series_points": {"series_id": "series", "attempt_id": "attempts"},
    "imported_values": {
        "statistic_id": "imported_statistics",
        "tensor_id": "tensors",
        "attempt_id": "attempts",
    },
    "tensor_stats": {"tensor_id": "tensors", "attempt_id": "attempts"},
    "spectra": {"tensor_id": "tensors", "attempt_id": "attempts"},
    "spectrum_progress": {"tensor_id": "tensors", "attempt_id": "attempts"},
    "profiles": {"attempt_id": "attempts"},
    "extremes": {"attempt_id": "attempts"},
    "kept_extremes": {"attempt_id": "attempts"},
    "detector_pieces": {"attempt_id": "attempts"},
    "thinnings": {"attempt_id": "attempts"},
    "detector_states": {"attempt_id": "attempts"},
    "alerts": {"run_id": "runs", "attempt_id": "attempts"},
    "alert_changes": {"alert_id": "alerts"},
    "directives": {"attempt_id": "attempts", "alert_id": "alerts"},
}
"""What a run consists of beside its own row, parents first, and what each row refers to."""
LAST: Final = frozenset({"alerts", "alert_changes", "directives"})
"""What people would see at once: it comes with the run's name."""
WAITING: Final = f"{COMING.strip('.-')} "
"""Before the state of a snapshot that the pipeline must not take up yet."""
NOT_TAKEN_ALONG: Final = frozenset({"writer", "reasons_id"})
"""Columns that mean nothing elsewhere; reasons themselves go with their rows, as ``no_value``."""

Row = dict[str, Any]


def table_of(name: str) -> Table:
    """The table of this name."""
    return Base.metadata.tables[name]


def columns_of(name: str) -> list[str]:
    """The columns that are taken along."""
    return [one.name for one in table_of(name).columns if one.name not in NOT_TAKEN_ALONG]


def run_row(session: Session, run: Run) -> Row:
    """What is told of the run itself."""
    names = ("display_name", "created_at", "retention_days", "keep_bytes")
    project = session.get_one(Project, run.project_id).slug
    return {"project": project, "run": run.slug, **{name: getattr(run, name) for name in names}}


def rows_of(session: Session, run_id: int, name: str, *, at_once: int) -> Iterator[list[Row]]:
    """A table's rows of one run in the order of their keys, at most so many at a time."""
    table = table_of(name)
    every = (
        statistics_told()
        if table is TENSOR_STATS
        else select(*(table.c[one] for one in columns_of(name)))
    )
    query = every.where(_of_run(name, run_id)).order_by(*table.primary_key)
    result = session.execute(query, execution_options={"yield_per": at_once})
    for rows in result.mappings().partitions():
        yield [dict(row) for row in rows]


def part_now(session: Session, part_id: int) -> tuple[str, str] | None:
    """Key and encoding of a part's blob as they are by now."""
    part = session.get(StoredPart, part_id)
    return None if part is None else (part.blob_key, part.encoding)


def _of_run(name: str, run_id: int) -> Any:
    table = table_of(name)
    if "run_id" in REFERENCES[name]:
        return table.c.run_id == run_id
    if "attempt_id" in REFERENCES[name]:
        return table.c.attempt_id.in_(_ids("attempts", run_id))
    [(column, parent)] = [
        (column, parent)
        for column, parent in REFERENCES[name].items()
        if parent in ("snapshots", "alerts")
    ]
    return table.c[column].in_(_ids(parent, run_id))


def _ids(name: str, run_id: int) -> Select[tuple[int]]:
    return select(table_of(name).c.id).where(_of_run(name, run_id))


def find_name(session: Session, project: str, run: str) -> Run | None:
    """The run of this name."""
    return session.scalar(
        select(Run)
        .join(Project, Project.id == Run.project_id)
        .where(and_(Project.slug == project, Run.slug == run))
    )


def run_meant(session: Session, name: str) -> int:
    """The id of the run that a person means: by id, by name where only one has it, PROJECT/NAME.

    Raises:
        NotFoundError: none is meant. ConflictError: several are.
    """
    project, slash, run = name.rpartition("/")
    if not slash and name.isascii() and name.isdigit() and list_runs(session, run_ids=[int(name)]):
        return int(name)
    found = list_runs(session, project=project or None, name=run)
    if not found:
        raise NotFoundError(f"no run {name!r}; `bifurk runs ls` lists them")
    if len(found) > 1:
        choices = ", ".join(f"{one.project}/{one.run}" for one in found)
        raise ConflictError(f"{name!r} is the name of several runs; say which: {choices}")
    return found[0].id


@dataclass(frozen=True, slots=True, kw_only=True)
class Renumbering:
    """Memories of detectors, ``whole`` or a ``piece``, with new ids of tensors for old ones."""

    whole: Callable[[bytes, Mapping[int, int]], bytes]
    piece: Callable[[bytes, Mapping[int, int]], bytes]


@dataclass(slots=True, kw_only=True)
class Coming:
    """A run on its way in, which nobody sees yet.

    Attributes:
        run_id: the id it has got.
        renumbered: how memories of detectors come.
        pieces: of memories, those that have come: new ids of attempts, and places.
        ids: by table, new ids by those in the file.
        attempts: cursor and state by new id, to be set at the end; nothing touches them until then.
    """

    run_id: int
    renumbered: Renumbering
    pieces: set[tuple[int, int, int]] = field(default_factory=set)
    ids: dict[str, dict[int, int]] = field(default_factory=dict)
    attempts: dict[int, tuple[int, str]] = field(default_factory=dict)


def begin_coming(
    session: Session,
    row: Row,
    *,
    token: str,
    renumbered: Renumbering,
    now: float,
) -> Coming:
    """A hidden run in its project, which is made where it is new.

    Raises:
        ConflictError: a run of this name is there.
    """
    check_free(session, row["project"], row["run"])
    project = session.scalar(select(Project).where(Project.slug == row["project"]))
    if project is None:
        project = Project(slug=row["project"], created_at=now)
        session.add(project)
        session.flush()
    run = Run(
        project_id=project.id,
        slug=f"{COMING}{token}",
        display_name=row["display_name"],
        created_at=row["created_at"],
        updated_at=now,
        retention_days=row["retention_days"],
        keep_bytes=row["keep_bytes"],
    )
    session.add(run)
    session.flush()
    return Coming(run_id=run.id, renumbered=renumbered, ids={"runs": {0: run.id}})


def check_free(session: Session, project: str, run: str) -> None:
    """Raises ``ConflictError`` where a run of this name is there."""
    if find_name(session, project, run) is not None:
        raise ConflictError(
            f"{project}/{run} is there already; bring it in under another name (--run), or remove "
            "that one first (bifurk runs rm)"
        )


def bring_in(
    session: Session, coming: Coming, name: str, rows: Sequence[Row], *, now: float
) -> None:
    """Stores rows of one table; those they refer to have come before.

    Raises:
        InvalidError: they refer to what has not, or contradict each other.
    """
    if not rows:
        return
    table = table_of(name)
    old = [row.pop("id", None) for row in rows] if "id" in table.c else []
    made = [_translated(coming, name, row) for row in rows]
    if table is TENSOR_STATS:
        _keep_reasons(session, coming, made)
    if name not in LAST:
        session.get_one(Run, coming.run_id).updated_at = now
    try:
        if not _has_children(name):
            session.execute(insert(table), made)
            return
        statement = insert(table).returning(table.c.id, sort_by_parameter_order=True)
        new = session.scalars(statement, made).all()
    except IntegrityError as error:
        raise InvalidError(f"rows of {name} contradict each other: {error.orig}") from error
    coming.ids.setdefault(name, {}).update(zip(old, new, strict=True))
    if name == "attempts":
        for number, row in zip(new, rows, strict=True):
            coming.attempts[number] = row["cursor"], row["state"]
    if name == "tensors":
        _join_pieces(session, coming, dict(zip(new, rows, strict=True)))


def end_coming(session: Session, coming: Coming, *, project: str, run: str, now: float) -> None:
    """Gives the run its name; from here on it is a run like any other.

    Raises:
        ConflictError: a run of this name has come meanwhile.
    """
    check_free(session, project, run)
    stored = session.get_one(Run, coming.run_id)
    stored.slug, stored.updated_at = run, now
    for attempt_id, (cursor, state) in coming.attempts.items():
        attempt = session.get_one(Attempt, attempt_id)
        attempt.cursor, attempt.state = cursor, state
        if state == AttemptState.RUNNING.value:
            attempt.seen_at = now
    for state in (RECEIVED, MEASURED):
        session.execute(
            update(Snapshot)
            .where(Snapshot.attempt_id.in_(coming.attempts), Snapshot.state == WAITING + state)
            .values(state=state)
        )


def _keep_reasons(session: Session, coming: Coming, rows: Sequence[Row]) -> None:
    ids = reasons_ids(session, coming.run_id, [row.pop("no_value") for row in rows])
    for row, reasons_id in zip(rows, ids, strict=True):
        row["reasons_id"] = reasons_id


def _has_children(name: str) -> bool:
    return any(name in parents.values() for parents in REFERENCES.values())


def _translated(coming: Coming, name: str, row: Row) -> Row:
    made = dict(row)
    for column, parent in REFERENCES[name].items():
        made[column] = (
            None if (name, column) == ("tensors", "piece_of") else _new(coming, parent, row[column])
        )
    if name == "attempts":
        made["cursor"], made["state"] = -1, AttemptState.FINISHED.value
    elif name == "snapshots" and row["state"] in (RECEIVED, MEASURED):
        made["state"] = WAITING + row["state"]
    elif name in ("detector_states", "thinnings"):
        _bring_memory(coming, made)
    elif name == "detector_pieces":
        _bring_piece(coming, made)
    elif name == "alerts":
        made["tensors"] = [
            {**one, "id": _new(coming, "tensors", one["id"])} for one in row["tensors"]
        ]
        made["evidence"] = _evidence(coming, row["evidence"])
    return made


def _bring_memory(coming: Coming, row: Row) -> None:
    if row["state"]:
        row["state"] = coming.renumbered.whole(row["state"], coming.ids.get("tensors", {}))
        return
    attempt = row["attempt_id"]
    places = {(attempt, sequence, number) for sequence, number in row["pieces"] or ()}
    if not places or places - coming.pieces:
        raise InvalidError(
            f"a memory of detectors is damaged: of its {len(places)} pieces "
            f"{len(places - coming.pieces)} are not in the file"
        )


def _bring_piece(coming: Coming, row: Row) -> None:
    row["data"] = coming.renumbered.piece(row["data"], coming.ids.get("tensors", {}))
    row["digest"] = digest_of(row["data"])
    coming.pieces.add((row["attempt_id"], row["sequence"], row["number"]))


def _evidence(coming: Coming, evidence: Any) -> Any:
    """Detections name their tensor by its id."""
    if isinstance(evidence, dict):
        return {key: _evidence_of(coming, key, value) for key, value in evidence.items()}
    return evidence


def _evidence_of(coming: Coming, key: str, value: Any) -> Any:
    if key not in ("detections", "followers") or not isinstance(value, list):
        return value
    return [
        {**one, "tensor": _new(coming, "tensors", one["tensor"])}
        if isinstance(one, dict) and isinstance(one.get("tensor"), int)
        else one
        for one in value
    ]


def _new(coming: Coming, parent: str, old: Any) -> int:
    known = coming.ids.get(parent, {})
    number = known.get(0) if parent == "runs" else known.get(old)
    if number is None:
        raise InvalidError(f"a row refers to number {old!r} of {parent}, which is not in the file")
    return number


def _join_pieces(session: Session, coming: Coming, rows: Mapping[int, Row]) -> None:
    """A fused tensor may come after its pieces, so that these are joined when all are there."""
    for number, row in rows.items():
        if row["piece_of"] is not None:
            session.get_one(Tensor, number).piece_of = _new(coming, "tensors", row["piece_of"])
