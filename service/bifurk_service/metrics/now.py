"""What is under way in this process at the moment of a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bifurk_service.metrics.table import BY_NAME
from bifurk_service.store.backlog import connections
from bifurk_service.store.engine import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """Where to look: each tells how many there are now, each limit how many there may be."""

    parts: Callable[[], int]
    parts_limit: int
    jobs: Callable[[], int]
    jobs_limit: Callable[[], int]
    listeners: Callable[[], int]
    runs_over_budget: Callable[[], int]


class ProcessState(Collector):
    """Gauges of this process; reading them asks nothing of the database."""

    def __init__(self, database: Database, under_way: UnderWay) -> None:
        self._database = database
        self._under_way = under_way

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every gauge as it stands."""
        house = self._under_way
        pool = connections(self._database)
        for name, value in (
            ("bifurk_parts_in_flight", house.parts()),
            ("bifurk_parts_in_flight_limit", house.parts_limit),
            ("bifurk_jobs_running", house.jobs()),
            ("bifurk_jobs_limit", house.jobs_limit()),
            ("bifurk_stream_listeners", house.listeners()),
            ("bifurk_runs_over_budget", house.runs_over_budget()),
            ("bifurk_database_connections", pool.in_use),
            ("bifurk_database_connections_limit", pool.limit),
        ):
            family = GaugeMetricFamily(name, BY_NAME[name].meaning, labels=())
            if value is not None:
                family.add_metric([], value)
            yield family
