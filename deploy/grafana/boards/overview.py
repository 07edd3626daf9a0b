"""All runs: what fires now, weights by role, what watching costs."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models import units

from deploy.grafana.boards.annotations import live_alerts
from deploy.grafana.boards.panels import (
    RUN_LEGEND,
    begin,
    lines,
    live_table,
    logarithmic,
    number,
    page_link,
    red_from,
    severities,
    stored_table,
)
from deploy.grafana.boards.variables import (
    CHOSEN_ROLES,
    CHOSEN_RUNS,
    live_roles,
    live_runs,
    page,
)

SILENT_SECONDS: Final = 600
"""The service's default for the shortest silence after which an attempt counts as lost."""
TO_RUN: Final = "/d/bifurk-run?var-project=${__data.fields.project}&var-run=${__data.fields.run}"
RUNS: Final = (
    "SELECT r.project, r.run, r.run_id, r.state, r.last_step, r.overhead_ratio,\n"
    "  to_timestamp(r.updated_at) AS updated, count(a.id) AS alerts\n"
    "FROM bifurk_v1_runs r LEFT JOIN bifurk_v1_alerts a ON a.run_id = r.run_id\n"
    "  AND a.state <> 'resolved' AND NOT a.silenced\n"
    "GROUP BY r.project, r.run, r.run_id, r.state, r.last_step, r.overhead_ratio, r.updated_at\n"
    "ORDER BY r.updated_at DESC LIMIT 200"
)


def board() -> builders.Dashboard:
    """The dashboard of all runs."""
    found = begin(
        "bifurk: runs",
        "How weights move while models train. A scrape sees the newest snapshot only: what lies "
        "between two scrapes is in the dashboards of one run, step by step.",
        [page(), *live_runs(), live_roles()],
    )
    found.annotation(live_alerts()).link(page_link("bifurk's page", "/"))
    found.with_row(builders.Row("Now"))
    for panel in _now():
        found.with_panel(panel)
    found.with_row(builders.Row("Weights by role"))
    for weights in _weights():
        found.with_panel(weights)
    found.with_row(builders.Row("Clients"))
    for clients in _clients():
        found.with_panel(clients)
    return found


def _now() -> list[stat.Panel | table.Panel]:
    firing = f"bifurk_alerts_firing{{{CHOSEN_RUNS}}}"
    ended = 'bifurk_run_state{state="finished"} == 1'
    age = f"time() - bifurk_last_snapshot_timestamp_seconds{{{CHOSEN_RUNS}}}"
    return [
        severities(number("Alerts firing", (f"sum by (severity) ({firing})", "{{severity}}"))),
        number(
            "Runs by state",
            (f"sum by (state) (bifurk_run_state{{{CHOSEN_RUNS}}})", "{{state}}"),
        ),
        number("Last step", (f"bifurk_last_snapshot_step{{{CHOSEN_RUNS}}}", RUN_LEGEND)),
        number(
            "Seconds since the last snapshot",
            (f"({age}) unless on (project, run) ({ended})", RUN_LEGEND),
        )
        .description("Of runs that have not finished.")
        .unit(units.Seconds)
        .thresholds(red_from(SILENT_SECONDS)),
        live_table(
            "What fires",
            f"sum by (project, run, kind, severity) ({firing}) > 0",
            {"run": ("this run", TO_RUN)},
        ).description("`bifurk_alerts_firing`; the sentences are in the dashboard of alerts."),
        stored_table(
            "Runs",
            RUNS,
            {
                "run": ("this run", TO_RUN),
                "run_id": ("bifurk's page", "${page}/runs/${__value.raw}"),
            },
        ).description("The newest 200, from PostgreSQL; those that have ended too."),
    ]


def _weights() -> list[timeseries.Panel]:
    panels = []
    for title, metric in (
        ("Standard deviation", "bifurk_weight_std"),
        ("Update ratio", "bifurk_update_ratio"),
        ("Stable rank", "bifurk_stable_rank"),
    ):
        for over, words in (("median", "median over tensors"), ("max", "largest tensor")):
            query = f'{metric}{{{CHOSEN_ROLES}, over="{over}"}}'
            panel = lines(f"{title}: {words}", [(query, "{{run}} {{role}}")])
            panels.append(panel.scale_distribution(logarithmic()))
    return panels


def _clients() -> list[timeseries.Panel]:
    dropped = f"sum by (project, run, reason) (bifurk_client_dropped_total{{{CHOSEN_RUNS}}}) > 0"
    return [
        lines("Overhead", [(f"bifurk_client_overhead_ratio{{{CHOSEN_RUNS}}}", RUN_LEGEND)])
        .description("Share of the training time that the hook takes, as it measures itself.")
        .unit(units.PercentUnit),
        lines("Snapshots dropped", [(dropped, f"{RUN_LEGEND} {{{{reason}}}}")])
        .description("Since the run began, by reason; empty when nothing was dropped.")
        .no_value("none"),
    ]
