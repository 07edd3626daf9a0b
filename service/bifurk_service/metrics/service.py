"""What this process counts as it happens, and the text that ``/metrics`` answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from bifurk_service.errors import REASONS
from bifurk_service.metrics.now import ProcessState, UnderWay
from bifurk_service.metrics.stored import StoredState
from bifurk_service.metrics.table import BY_NAME, OUTCOMES, PART_OUTCOMES
from bifurk_service.request_log import Exchange
from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MEASURE_BUCKETS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Seconds: from a small network to a thousand matrices with their spectra."""
REQUEST_BUCKETS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
JUDGED_BUCKETS: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Seconds: from at once to what a night without a worker leaves."""
ENDLESS: Final = frozenset({"/api/v1/stream"})
"""Answers that last as long as somebody listens."""


class ServiceMetrics:
    """Counters of this process beside the stored state, in a registry of their own.

    Args:
        under_way: what the gauges look at.
        stored: whether the stored state is told too; one process a database is enough for that.
    """

    def __init__(
        self, database: Database, settings: Settings, *, under_way: UnderWay, stored: bool = True
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._parts = self._counter("bifurk_parts_total")
        self._bytes = self._counter("bifurk_part_bytes_total")
        self._snapshots = self._counter("bifurk_snapshots_total")
        self._notifications = self._counter("bifurk_notifications_total")
        self._seconds = self._histogram("bifurk_measure_seconds", MEASURE_BUCKETS)
        for outcome in PART_OUTCOMES:
            self._parts.labels(outcome)
        for outcome in OUTCOMES:
            self._snapshots.labels(outcome)
        self._requests = self._counter("bifurk_requests_total")
        self._refused = self._counter("bifurk_requests_refused_total")
        self._request_seconds = self._histogram("bifurk_request_seconds", REQUEST_BUCKETS)
        self._judged_after = self._histogram("bifurk_judged_after_seconds", JUDGED_BUCKETS)
        for reason in REASONS:
            self._refused.labels(reason)
        self._registry.register(ProcessState(database, under_way))
        if stored:
            self._registry.register(StoredState(database, settings))

    def part_received(self, outcome: str, size_bytes: int) -> None:
        """Counts a part: ``stored`` or ``repeated``."""
        self._parts.labels(outcome).inc()
        self._bytes.inc(size_bytes)

    def snapshot_moved(self, outcome: str, seconds: float) -> None:
        """Counts a snapshot: ``measured``, ``judged`` (with seconds), ``late``, ``failed``."""
        self._snapshots.labels(outcome).inc()
        if outcome == "measured":
            self._seconds.observe(seconds)
        elif outcome == "judged":
            self._judged_after.observe(seconds)

    def answered(self, exchange: Exchange) -> None:
        """Counts a request that was answered."""
        self._requests.labels(exchange.route, exchange.method, str(exchange.status)).inc()
        if exchange.refused is not None:
            self._refused.labels(exchange.refused).inc()
        if exchange.route not in ENDLESS:
            self._request_seconds.labels(exchange.route).observe(exchange.seconds)

    def notified(self, channel: str, outcome: str) -> None:
        """Counts a try to tell a channel: ``delivered``, ``retried`` or ``failed``."""
        self._notifications.labels(channel, outcome).inc()

    def text(self) -> bytes:
        """The exposition, Prometheus text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, buckets: Sequence[float]) -> Histogram:
        row = BY_NAME[name]
        return Histogram(name, row.meaning, row.labels, buckets=buckets, registry=self._registry)

    def _counter(self, name: str) -> Counter:
        row = BY_NAME[name]
        return Counter(name, row.meaning, row.labels, registry=self._registry)
