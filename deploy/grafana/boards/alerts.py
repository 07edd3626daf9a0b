"""Alerts of all runs: what fires, what was raised, whether people were told."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import timeseries

from deploy.grafana.boards.panels import (
    SEVERITY_COLORS,
    WIDTH,
    begin,
    fixed_color,
    lines,
    list_legend,
    live_table,
    number,
    page_link,
    severities,
    stored_table,
)
from deploy.grafana.boards.sources import POSTGRES, Sql
from deploy.grafana.boards.variables import CHOSEN_RUNS, live_runs, page

LINKS: Final = {
    "id": ("bifurk's page", "${page}/alerts/${__value.raw}"),
    "run": (
        "this run",
        "/d/bifurk-run?var-project=${__data.fields.project}&var-run=${__data.fields.run}",
    ),
}
COLUMNS: Final = (
    "SELECT id, to_timestamp(created_at) AS raised, project, run, severity, kind, state,\n"
    "  statistic, onset_first_step, onset_last_step, detected_step, sentence\n"
    "FROM bifurk_v1_alerts"
)
STANDING: Final = (
    f"{COLUMNS} WHERE state <> 'resolved' AND NOT silenced AND NOT superseded\n"
    "ORDER BY id DESC LIMIT 500"
)
ALL: Final = f"{COLUMNS} ORDER BY id DESC LIMIT 500"
A_DAY: Final = (
    "SELECT date_trunc('day', to_timestamp(created_at)) AS time, severity AS metric,\n"
    "  count(*) AS value\n"
    "FROM bifurk_v1_alerts WHERE created_at BETWEEN $__unixEpochFrom() AND $__unixEpochTo()\n"
    "GROUP BY 1, 2 ORDER BY 1"
)


def board() -> builders.Dashboard:
    """The dashboard of alerts."""
    found = begin(
        "bifurk: alerts",
        "What detectors have seen in all trainings, and what became of it.",
        [page(), *live_runs()],
    ).time("now-7d", "now")
    found.link(page_link("bifurk's page", "/"))
    firing = f"bifurk_alerts_firing{{{CHOSEN_RUNS}}}"
    found.with_row(builders.Row("Now"))
    by_severity = (f"sum by (severity) ({firing})", "{{severity}}")
    found.with_panel(severities(number("Firing", by_severity, width=WIDTH // 3)))
    raised = f"sum by (severity) (bifurk_alerts_total{{{CHOSEN_RUNS}}})"
    found.with_panel(severities(number("Raised", (raised, "{{severity}}"), width=WIDTH // 3)))
    waiting = "sum(bifurk_notifications_waiting) or vector(0)"
    found.with_panel(number("Messages waiting", (waiting, "waiting"), width=WIDTH // 3))
    found.with_panel(stored_table("What stands", STANDING, LINKS))
    found.with_panel(
        live_table(
            "What fires, by kind", f"sum by (project, run, kind, severity) ({firing}) > 0", LINKS
        )
    )
    found.with_row(builders.Row("Over time"))
    found.with_panel(lines("Firing, by kind", [(f"sum by (kind) ({firing})", "{{kind}}")]))
    found.with_panel(_raised_a_day())
    tried = "sum by (channel, outcome) (bifurk_notifications_total)"
    found.with_panel(lines("Messages tried", [(tried, "{{channel}} {{outcome}}")], width=WIDTH))
    found.with_row(builders.Row("All"))
    found.with_panel(stored_table("The newest 500", ALL, LINKS, height=14))
    return found


def _raised_a_day() -> timeseries.Panel:
    panel = timeseries.Panel().title("Raised a day").datasource(POSTGRES)
    panel.span(WIDTH // 2).height(8).legend(list_legend())
    for severity, color in SEVERITY_COLORS.items():
        panel.override_by_name(severity, [fixed_color(color)])
    return panel.with_target(Sql(A_DAY, format="time_series"))
