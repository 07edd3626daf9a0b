"""The stored state of trainings as metrics, read at every scrape.

So it is right after a restart, and the same in every replica.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import bifurk
from bifurk.layout import ROLES
from bifurk_service.domain import AlertState, AttemptState
from bifurk_service.metrics.table import DROP_REASONS, EXPORTED, METRICS, MetricRow
from bifurk_service.metrics.unhurried import Unhurried
from bifurk_service.settings import Settings
from bifurk_service.store.alert_lists import alert_counts
from bifurk_service.store.backlog import (
    Kept,
    among,
    kept,
    snapshots_to_condense,
    waiting_by_state,
    waiting_messages,
)
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.live import LiveRun, latest_by_role, live_runs

Families: TypeAlias = dict[str, GaugeMetricFamily | CounterMetricFamily]
Sample: TypeAlias = tuple[str, list[str], float]
"""A metric's name, its labels and its value."""

REJECTED_PREFIX: Final = "rejected_"
"""Clients add the status that refused them."""
UNKNOWN: Final = "other"
"""The label of words, roles or reasons, that this version does not know."""


class StoredState(Collector):
    """What the database knows of trainings.

    A firing alert stays until it is resolved, whatever became of its run; a run's other series
    go some time after its end.
    """

    def __init__(
        self, database: Database, settings: Settings, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._settings = settings
        self._now = now
        self._kept: Unhurried[Kept] = Unhurried()

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of a scrape: registering must not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One consistent reading of the database as metric families."""
        families = {row.name: _family(row) for row in METRICS if row.origin == "database"}
        families["bifurk_build_info"].add_metric([bifurk.__version__], 1)
        with self._database.read() as session:
            self._add_storage(session, families)
            runs = live_runs(
                session, ended_after=self._now() - self._settings.metrics_grace_seconds
            )
            for run in runs:
                _add_run(run, families)
            self._add_statistics(session, runs, families)
            _add_alerts(session, runs, families)
            self._add_queues(session, families)
        yield from families.values()

    def _add_storage(self, session: Session, families: Families) -> None:
        parts = self._kept.read(lambda: kept(session))
        families["bifurk_storage_bytes"].add_metric(["blobs"], parts.blob_bytes)
        families["bifurk_storage_bytes"].add_metric(["database"], self._database.size_bytes())
        families["bifurk_full_value_blobs"].add_metric([], parts.with_full_values)

    def _add_queues(self, session: Session, families: Families) -> None:
        now = self._now()
        waiting = waiting_by_state(session)
        together = among(waiting)
        families["bifurk_queue_snapshots"].add_metric([], together.count)
        families["bifurk_queue_age_seconds"].add_metric([], together.age_seconds(now))
        for state, queue in waiting.items():
            families["bifurk_waiting_snapshots"].add_metric([state], queue.count)
            families["bifurk_waiting_age_seconds"].add_metric([state], queue.age_seconds(now))
        for channel, queue in waiting_messages(session).items():
            families["bifurk_notifications_waiting"].add_metric([channel], queue.count)
            age = queue.age_seconds(now)
            families["bifurk_notifications_age_seconds"].add_metric([channel], age)
        behind = snapshots_to_condense(session)
        families["bifurk_condensing_snapshots"].add_metric([], behind)

    def _add_statistics(self, session: Session, runs: list[LiveRun], families: Families) -> None:
        """Newest runs first, so that the limits cut the oldest."""
        left, cut = self._settings.metrics_series, 0
        for run in runs:
            samples = _statistic_samples(session, run)
            kept = samples[: min(left, self._settings.metrics_series_per_run)]
            cut += len(samples) - len(kept)
            left -= len(kept)
            for name, labels, value in kept:
                families[name].add_metric(labels, value)
        families["bifurk_series_cut"].add_metric([], cut)


def _family(row: MetricRow) -> GaugeMetricFamily | CounterMetricFamily:
    kind = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
    return kind(row.name, row.meaning, labels=row.labels)


def _add_run(run: LiveRun, families: Families) -> None:
    labels = [run.project, run.run]
    for state in AttemptState:
        families["bifurk_run_state"].add_metric([*labels, state.value], float(run.state == state))
    for reason, count in _known_drops(run.dropped).items():
        families["bifurk_client_dropped_total"].add_metric([*labels, reason], count)
    for name, value in (
        ("bifurk_client_overhead_ratio", run.overhead_ratio),
        ("bifurk_last_snapshot_step", run.last_step),
        ("bifurk_last_snapshot_timestamp_seconds", run.last_received_at),
    ):
        if value is not None:
            families[name].add_metric(labels, value)


def _known_drops(dropped: Mapping[str, int]) -> dict[str, int]:
    """Every known reason, at 0 where nothing was dropped for it."""
    counts = dict.fromkeys(DROP_REASONS, 0)
    for reason, count in dropped.items():
        word = "rejected" if reason.startswith(REJECTED_PREFIX) else reason
        counts[word if word in counts else UNKNOWN] += count
    return counts


def _statistic_samples(session: Session, run: LiveRun) -> list[Sample]:
    """Every role's exported statistics; a role as a whole before the next."""
    if run.last_step is None:
        return []
    samples: list[Sample] = []
    by_role: dict[str, list[tuple[float | None, ...]]] = {}
    for role, rows in latest_by_role(session, run, [s.name for s in EXPORTED]).items():
        by_role.setdefault(role if role in ROLES else UNKNOWN, []).extend(rows)
    for role, rows in sorted(by_role.items()):
        table = np.array(rows, dtype=np.float64)
        for statistic, column in zip(EXPORTED, table.T, strict=True):
            values = column[~np.isnan(column)]
            if values.size:
                for over, value in (("median", np.median(values)), ("max", values.max())):
                    name = f"bifurk_{statistic.metric}"
                    samples.append((name, [run.project, run.run, role, over], float(value)))
    return [sample for sample in samples if math.isfinite(sample[2])]


def _add_alerts(session: Session, runs: list[LiveRun], families: Families) -> None:
    live = {run.run_id for run in runs}
    firing: dict[tuple[str, ...], int] = {}
    raised: dict[tuple[str, ...], int] = {}
    for row in alert_counts(session):
        labels: tuple[str, ...] = (row.project, row.run, row.kind, row.severity)
        if row.run_id in live:
            raised[labels] = raised.get(labels, 0) + row.count
            firing.setdefault(labels, 0)
        if row.state != AlertState.RESOLVED and not row.silenced:
            firing[labels] = firing.get(labels, 0) + row.count
    for name, counts in (("bifurk_alerts_firing", firing), ("bifurk_alerts_total", raised)):
        for labels, count in counts.items():
            families[name].add_metric(labels, count)
