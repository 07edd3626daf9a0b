"""All that a service has made of what it was given, in a form that two services can be compared by.

Ids, times and what depends on the moment at which something was asked for are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Select, select

from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    Event,
    ProfileValue,
    Run,
    Series,
    SeriesPoint,
    Snapshot,
    SpectrumRow,
    StoredAlert,
    StoredPart,
    Tensor,
)
from bifurk_service.store.reasons import TOLD, statistics_told

Key: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = dict[Key, Any]

OF_THE_MOMENT = frozenset({"id", "run_id", "attempt_id", "created_at", "updated_at", "resolved_at"})
"""Columns of an alert that say nothing of what was found."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is stored, by names.

    Attributes:
        parts: digest, by run, attempt, step and rank. states: of snapshots, by run and sequence.
        statistics, spectra, profiles, scalars: values, by run, tensor and step, or alike.
        alerts: what was found, by run and fingerprint. events: how often each was told.
    """

    parts: Rows
    states: Rows
    statistics: Rows
    spectra: Rows
    profiles: Rows
    scalars: Rows
    alerts: Rows
    events: Rows

    def differences(self, other: Evidence, *, leave_out: Collection[str] = ()) -> list[str]:
        """In words, a few of each kind; empty where both are the same but for what is left out."""
        return [
            f"{one.name} {line}"
            for one in fields(self)
            if one.name not in leave_out
            for line in _differences(getattr(self, one.name), getattr(other, one.name))
        ]


def evidence(database: Database) -> Evidence:
    """Of everything in a database."""
    with database.read() as session:
        return Evidence(
            parts=_parts(session),
            states=_states(session),
            statistics=_statistics(session),
            spectra=_spectra(session),
            profiles=_profiles(session),
            scalars=_scalars(session),
            alerts=_alerts(session),
            events=_events(session),
        )


def blobs_astray(database: Database, folder: Path) -> tuple[set[str], set[str]]:
    """Blobs that no part refers to, and blobs that a part refers to and that are not there.

    What is forgotten or deleted while they are looked for is neither.
    """
    before = _known_blobs(database)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    after = _known_blobs(database)
    return there - before - after, (before & after) - there


def _known_blobs(database: Database) -> set[str]:
    with database.read() as session:
        rows = session.execute(select(StoredPart.blob_key, StoredPart.stale_key))
        return {key for row in rows for key in row if key is not None}


def _parts(session: Session) -> Rows:
    query = (
        select(Run.slug, Attempt.slug, Snapshot.step, StoredPart.rank, StoredPart.digest)
        .join(Attempt, Attempt.run_id == Run.id)
        .join(Snapshot, Snapshot.attempt_id == Attempt.id)
        .join(StoredPart, StoredPart.snapshot_id == Snapshot.id)
    )
    return {tuple(key): digest for *key, digest in session.execute(query)}


def _states(session: Session) -> Rows:
    columns = (
        Snapshot.step,
        Snapshot.state,
        Snapshot.received_parts,
        Snapshot.spectra_skipped,
    )
    query = (
        select(Run.slug, Snapshot.sequence, *columns)
        .join(Attempt, Attempt.run_id == Run.id)
        .join(Snapshot, Snapshot.attempt_id == Attempt.id)
    )
    return {tuple(key): values for *key, values in _keyed(session, query, 2)}


def _statistics(session: Session) -> Rows:
    names = [TENSOR_STATS.c[name] for name in STATISTIC_NAMES]
    query = (
        statistics_told()
        .with_only_columns(Run.slug, Tensor.name, TENSOR_STATS.c.step, *names, TOLD)
        .join(Tensor, Tensor.id == TENSOR_STATS.c.tensor_id)
        .join(Run, Run.id == Tensor.run_id)
    )
    return {tuple(key): _plain(values) for *key, values in _keyed(session, query, 3)}


def _spectra(session: Session) -> Rows:
    query = (
        select(
            Run.slug,
            Tensor.name,
            SpectrumRow.step,
            SpectrumRow.singular_values,
            SpectrumRow.document,
        )
        .join(Tensor, Tensor.id == SpectrumRow.tensor_id)
        .join(Run, Run.id == Tensor.run_id)
    )
    return {tuple(key): _plain(values) for *key, values in _keyed(session, query, 3)}


def _profiles(session: Session) -> Rows:
    columns = (ProfileValue.name, ProfileValue.role, ProfileValue.step)
    query = (
        select(Run.slug, *columns, ProfileValue.value, ProfileValue.no_value)
        .join(Attempt, Attempt.run_id == Run.id)
        .join(ProfileValue, ProfileValue.attempt_id == Attempt.id)
    )
    return {tuple(key): _plain(values) for *key, values in _keyed(session, query, 4)}


def _scalars(session: Session) -> Rows:
    query = (
        select(
            Run.slug,
            Series.name,
            SeriesPoint.step,
            SeriesPoint.last,
            SeriesPoint.mean,
            SeriesPoint.count,
        )
        .join(Series, Series.id == SeriesPoint.series_id)
        .join(Run, Run.id == Series.run_id)
    )
    return {tuple(key): _plain(values) for *key, values in _keyed(session, query, 3)}


def _alerts(session: Session) -> Rows:
    columns = [c for c in StoredAlert.__table__.columns if c.name not in OF_THE_MOMENT]
    names = {tensor.id: tensor.name for tensor in session.scalars(select(Tensor))}
    query = select(Run.slug, *columns).join(Run, Run.id == StoredAlert.run_id)
    found = {}
    for run, *values in session.execute(query):
        alert = dict(zip([c.name for c in columns], values, strict=True))
        alert["tensors"] = [{**one, "id": names[one["id"]]} for one in alert["tensors"]]
        for one in alert["evidence"]["detections"]:
            one["tensor"] = names.get(one["tensor"])
        found[run, alert.pop("fingerprint")] = alert
    return found


def _events(session: Session) -> Rows:
    """How often each was told; whose alert it was says its sentence."""
    query = select(Run.slug, Event.kind, Event.data).join(Run, Run.id == Event.run_id)
    return dict(
        Counter(
            (run, kind, json.dumps({**data, "id": None}, sort_keys=True))
            for run, kind, data in session.execute(query)
        )
    )


def _keyed(session: Session, query: Select[Any], length: int) -> Iterator[Key]:
    for row in session.execute(query):
        yield (*row[:length], tuple(row[length:]))


def _plain(values: Any) -> str:
    """Equal for equal values, NaN too; a float in full."""
    return json.dumps(values, sort_keys=True, default=lambda one: one.hex())


def _differences(mine: Rows, others: Rows) -> Iterator[str]:
    for key in sorted(mine.keys() - others.keys())[:3]:
        yield f"{key} is there alone: {mine[key]!s:.200}"
    for key in sorted(others.keys() - mine.keys())[:3]:
        yield f"{key} is missing: {others[key]!s:.200}"
    both = sorted(mine.keys() & others.keys())
    unequal = [key for key in both if _plain(mine[key]) != _plain(others[key])]
    for key in unequal[:3]:
        yield f"{key}, one of {len(unequal)}: {_unequal(_plain(mine[key]), _plain(others[key]))}"


def _unequal(mine: str, other: str) -> str:
    place = next((i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), 0)
    begin = max(0, place - 60)
    return f"...{mine[begin : place + 60]}... against ...{other[begin : place + 60]}..."
