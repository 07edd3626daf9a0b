"""The service itself: is it up, does it keep up, how much does it keep, does it reach people."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models import units

from deploy.grafana.boards.panels import (
    RUN_LEGEND,
    begin,
    lines,
    live_table,
    number,
    page_link,
    red_from,
)
from deploy.grafana.boards.variables import page

LATE_SECONDS = 300
"""From which the rule `BifurkJudgedLate` holds."""


def board() -> builders.Dashboard:
    """The dashboard of the service."""
    found = begin(
        "bifurk: the service",
        "Whether the service is well. What to do when it is not: docs/runbooks.md.",
        [page()],
    )
    found.link(page_link("bifurk's page", "/"))
    found.with_row(builders.Row("Now"))
    for panel in _now():
        found.with_panel(panel)
    found.with_row(builders.Row("The pipeline"))
    for over_time in _pipeline():
        found.with_panel(over_time)
    found.with_row(builders.Row("Requests"))
    for over_time in _requests():
        found.with_panel(over_time)
    found.with_row(builders.Row("What comes in, what is kept, what goes out"))
    for over_time in _ways():
        found.with_panel(over_time)
    return found


def _now() -> list[stat.Panel | table.Panel]:
    return [
        number("Up", ('up{job=~"bifurk|bifurk-worker"}', "{{job}}")),
        number("Waiting", ("bifurk_queue_snapshots", "snapshots")),
        number("Oldest waits", ("bifurk_queue_age_seconds", "age"))
        .unit(units.Seconds)
        .thresholds(red_from(LATE_SECONDS)),
        number("Version", ("bifurk_build_info", "{{version}}")),
        live_table(
            "What is wrong with it",
            'sum by (alertname, severity, alertstate) (ALERTS{component="bifurk"}) or vector(0)',
        ).description("Alerts of the rules in deploy/prometheus/rules; each has a runbook."),
    ]


def _pipeline() -> list[timeseries.Panel]:
    measured = "sum by (le) (rate(bifurk_measure_seconds_bucket[$__rate_interval]))"
    judged = "sum by (le) (rate(bifurk_judged_after_seconds_bucket[$__rate_interval]))"
    return [
        lines("Snapshots per second", [("bifurk:snapshots:rate5m", "{{outcome}}")]),
        lines(
            "Seconds to measure a snapshot",
            [
                (f"histogram_quantile(0.5, {measured})", "median"),
                (f"histogram_quantile(0.95, {measured})", "95 %"),
            ],
        ).unit(units.Seconds),
        lines(
            "Waiting",
            [
                ("bifurk_waiting_snapshots", "{{state}}"),
                ("bifurk_condensing_snapshots", "to be condensed"),
            ],
        ),
        lines(
            "How long the oldest waits",
            [
                ("bifurk_waiting_age_seconds", "{{state}} snapshot"),
                ("max(bifurk_notifications_age_seconds) or vector(0)", "message"),
            ],
        ).unit(units.Seconds),
        lines(
            "Seconds from receiving a snapshot until it is judged",
            [
                (f"histogram_quantile(0.5, {judged})", "median"),
                (f"histogram_quantile(0.95, {judged})", "95 %"),
            ],
        ).unit(units.Seconds),
        lines("Runs that say nothing", [("bifurk:run_silence:seconds", RUN_LEGEND)])
        .description("Of those that count as running.")
        .unit(units.Seconds),
    ]


def _requests() -> list[timeseries.Panel]:
    every = "$__rate_interval"
    answered = f"sum by (status) (rate(bifurk_requests_total[{every}]))"
    refused = f"sum by (reason) (rate(bifurk_requests_refused_total[{every}])) > 0"
    by_route = f"sum by (le, route) (rate(bifurk_request_seconds_bucket[{every}]))"
    # Of routes that nobody asks it is no number, which a comparison leaves out.
    slow = f"histogram_quantile(0.95, {by_route}) >= 0"
    return [
        lines("Requests per second", [(answered, "{{status}}")]),
        lines("Requests turned away per second", [(refused, "{{reason}}")]).description(
            "By why; what the words mean: docs/metrics.md."
        ),
        lines(
            "Seconds to answer, 95 % (the five slowest routes)",
            [(f"topk(5, {slow})", "{{route}}")],
        ).unit(units.Seconds),
        lines(
            "In use",
            [
                ("sum by (instance) (bifurk_parts_in_flight)", "{{instance}} parts"),
                ("sum by (instance) (bifurk_jobs_running)", "{{instance}} jobs"),
                ("sum by (instance) (bifurk_database_connections)", "{{instance}} connections"),
                ("sum by (instance) (bifurk_stream_listeners)", "{{instance}} listeners"),
            ],
        ).description("Each has a limit of its own: bifurk_*_limit."),
    ]


def _ways() -> list[timeseries.Panel]:
    parts = "sum by (outcome) (rate(bifurk_parts_total[$__rate_interval]))"
    received = "sum(rate(bifurk_part_bytes_total[$__rate_interval]))"
    told = "sum by (channel, outcome) (rate(bifurk_notifications_total[$__rate_interval]))"
    return [
        lines("Parts per second", [(parts, "{{outcome}}")]),
        lines("Bytes per second", [(received, "received")]).unit(units.BytesPerSecondIEC),
        lines("Storage", [("bifurk_storage_bytes", "{{kind}}")]).unit(units.BytesIEC),
        lines("Messages per second", [(told, "{{channel}} {{outcome}}")]),
        lines(
            "Snapshots dropped by clients, last hour",
            [("bifurk:client_dropped:increase1h", RUN_LEGEND)],
        ),
        lines("Series left out of the metrics", [("bifurk_series_cut", "series")]),
    ]
