"""A whole run as rows: what it consists of, and its rows read out table by table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Select, Table, and_, select
from sqlalchemy.orm import Session

from bifurk_service.errors import ConflictError, NotFoundError
from bifurk_service.store.models import TENSOR_STATS, Base, Project, Run, StoredPart
from bifurk_service.store.reasons import statistics_told
from bifurk_service.store.run_lists import list_runs

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
