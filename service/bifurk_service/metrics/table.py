"""The one table of Prometheus metrics. The exposition and the docs are derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from bifurk_service.stats.registry import STATISTICS, Statistic

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Origin: TypeAlias = Literal["process", "database"]

OUTCOMES: Final = ("measured", "judged", "late", "failed")
"""What can become of a snapshot."""

PART_OUTCOMES: Final = ("stored", "repeated")
"""What can become of a part that is taken in."""

DROP_REASONS: Final = (
    "busy",
    "capture_failed",
    "closed",
    "conflict",
    "encode_failed",
    "memory_full",
    "rejected",
    "spool_full",
    "spool_torn",
    "spool_unreadable",
    "spool_unwritable",
    "switched_off",
    "unencoded_at_close",
    "unsent_at_close",
    "other",
)
"""Why clients drop snapshots. ``rejected`` stands for every refusing status, ``other`` for words
that this version does not know: a label must not hold what anybody may send."""

EXPORTED: Final[tuple[Statistic, ...]] = tuple(s for s in STATISTICS if s.metric is not None)
"""The statistics that have a metric."""

RUN: Final = ("project", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One row of the table of metrics.

    Attributes:
        origin: counted by this process since its start, or read from the database at a scrape.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    origin: Origin = "database"


METRICS: Final[tuple[MetricRow, ...]] = (
    MetricRow(
        name="bifurk_build_info", kind="gauge", labels=("version",), meaning="1, with the version."
    ),
    MetricRow(
        name="bifurk_parts_total",
        kind="counter",
        origin="process",
        labels=("outcome",),
        meaning="Parts taken in by this process: stored, or repeated.",
    ),
    MetricRow(
        name="bifurk_part_bytes_total",
        kind="counter",
        origin="process",
        meaning="Bytes of parts taken in by this process, as sent.",
    ),
    MetricRow(
        name="bifurk_snapshots_total",
        kind="counter",
        origin="process",
        labels=("outcome",),
        meaning="Snapshots that this process measured, judged, passed over as late, or gave up.",
    ),
    MetricRow(
        name="bifurk_measure_seconds",
        kind="histogram",
        origin="process",
        meaning="From handing a snapshot to a worker until its statistics are stored.",
    ),
    MetricRow(
        name="bifurk_judged_after_seconds",
        kind="histogram",
        origin="process",
        meaning="From receiving a snapshot's first part until it is judged.",
    ),
    MetricRow(
        name="bifurk_requests_total",
        kind="counter",
        origin="process",
        labels=("route", "method", "status"),
        meaning="Requests answered by this process.",
    ),
    MetricRow(
        name="bifurk_request_seconds",
        kind="histogram",
        origin="process",
        labels=("route",),
        meaning="Until a request was answered; the stream is left out, it has no end.",
    ),
    MetricRow(
        name="bifurk_requests_refused_total",
        kind="counter",
        origin="process",
        labels=("reason",),
        meaning="Requests that this process turned away, by why.",
    ),
    *(
        MetricRow(name=f"bifurk_{name}", kind="gauge", origin="process", meaning=meaning)
        for name, meaning in (
            ("parts_in_flight", "Parts that this process is taking in."),
            ("parts_in_flight_limit", "How many it takes in at once; more are answered 503."),
            ("jobs_running", "Snapshots that this process has handed to workers."),
            (
                "jobs_limit",
                "How many it hands out at once; 0 without a pipeline, or with its cluster away.",
            ),
            ("stream_listeners", "Who listens to this process's stream of events."),
            (
                "runs_over_budget",
                (
                    "Runs larger than they may be although all is thinned that may be; told by the "
                    "process that thins."
                ),
            ),
            ("database_connections", "Connections to the database that this process uses."),
            (
                "database_connections_limit",
                "How many it may use; requests beyond are answered 503.",
            ),
        )
    ),
    MetricRow(
        name="bifurk_notifications_total",
        kind="counter",
        origin="process",
        labels=("channel", "outcome"),
        meaning="Messages of this process to channels: delivered, to be retried, or given up.",
    ),
    MetricRow(
        name="bifurk_notifications_waiting",
        kind="gauge",
        labels=("channel",),
        meaning="Messages that wait to be delivered.",
    ),
    MetricRow(
        name="bifurk_notifications_age_seconds",
        kind="gauge",
        labels=("channel",),
        meaning="How long the oldest of them has waited.",
    ),
    MetricRow(
        name="bifurk_waiting_snapshots",
        kind="gauge",
        labels=("state",),
        meaning="Snapshots that wait: received (to be measured) or measured (to be judged).",
    ),
    MetricRow(
        name="bifurk_waiting_age_seconds",
        kind="gauge",
        labels=("state",),
        meaning="How long ago the oldest of them was received.",
    ),
    MetricRow(
        name="bifurk_condensing_snapshots",
        kind="gauge",
        meaning="Snapshots that are judged, and wait to be condensed for figures of long runs.",
    ),
    MetricRow(
        name="bifurk_full_value_blobs",
        kind="gauge",
        meaning="Parts that keep their full values beside: until the next is judged, or pinned.",
    ),
    MetricRow(
        name="bifurk_queue_snapshots",
        kind="gauge",
        meaning="Snapshots received and not yet judged.",
    ),
    MetricRow(
        name="bifurk_queue_age_seconds",
        kind="gauge",
        meaning="How long the oldest of them has waited.",
    ),
    MetricRow(
        name="bifurk_storage_bytes",
        kind="gauge",
        labels=("kind",),
        meaning="Bytes kept: blobs, database.",
    ),
    MetricRow(
        name="bifurk_series_cut",
        kind="gauge",
        meaning="Series of weight statistics left out of this scrape by the limits.",
    ),
    MetricRow(
        name="bifurk_client_dropped_total",
        kind="counter",
        labels=(*RUN, "reason"),
        meaning="Snapshots that the run's client could not deliver, over all its attempts.",
    ),
    MetricRow(
        name="bifurk_client_overhead_ratio",
        kind="gauge",
        labels=RUN,
        meaning="Share of the training time that the hook takes, as it measures itself.",
    ),
    MetricRow(
        name="bifurk_run_state",
        kind="gauge",
        labels=(*RUN, "state"),
        meaning="1 for the state of the run's newest attempt, 0 for the others.",
    ),
    MetricRow(
        name="bifurk_last_snapshot_step",
        kind="gauge",
        labels=RUN,
        meaning="Step of the newest measured snapshot.",
    ),
    MetricRow(
        name="bifurk_last_snapshot_timestamp_seconds",
        kind="gauge",
        labels=RUN,
        meaning="When the newest snapshot was received, in seconds since 1970 UTC.",
    ),
    MetricRow(
        name="bifurk_alerts_firing",
        kind="gauge",
        labels=(*RUN, "kind", "severity"),
        meaning="Alerts that are neither resolved nor silenced; acknowledged ones count.",
    ),
    MetricRow(
        name="bifurk_alerts_total",
        kind="counter",
        labels=(*RUN, "kind", "severity"),
        meaning="Alerts ever raised for the run, by the severity they have now.",
    ),
    *(
        MetricRow(
            name=f"bifurk_{s.metric}",
            kind="gauge",
            labels=(*RUN, "role", "over"),
            meaning=f"{s.meaning}; median and max over the role's tensors, newest snapshot.",
        )
        for s in EXPORTED
    ),
)

BY_NAME: Final = {row.name: row for row in METRICS}
