#!/usr/bin/env python3
"""The Grafana dashboard as code: run this file to write ``dashboards/bifurk.json`` anew.

Every expression names metrics of the service's one table; the variables are Grafana's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

UID: Final = "bifurk"
DATASOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="bifurk-prometheus")
TARGET: Final = Path(__file__).parent / "dashboards" / "bifurk.json"

CHOSEN_RUNS: Final = 'project=~"$project", run=~"$run"'
CHOSEN_ROLES: Final = f'{CHOSEN_RUNS}, role=~"$role"'
NAMED: Final = '{__name__=~"bifurk_run_state|bifurk_alerts_firing"'
"""Runs are also found by their alerts, which outlive their other series."""

RUN_LEGEND: Final = "{{project}}/{{run}}"
WIDTH: Final = 24
SILENT_SECONDS: Final = 600
"""The service's default for the shortest silence after which an attempt counts as lost."""

Query = tuple[str, str]
"""An expression, and the legend of its series."""


def build() -> models.Dashboard:
    """The dashboard: what fires now, weights by role, clients, the service itself."""
    board = (
        builders.Dashboard("bifurk")
        .uid(UID)
        .description(
            "How weights move while models train. A scrape sees the newest snapshot only: "
            "what lies between two scrapes is in the service's REST answers, step by step."
        )
        .tags(["bifurk"])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
    )
    for variable in _variables():
        board.with_variable(variable)
    for title, panels in (
        ("Now", _now()),
        ("Weights by role", _weights()),
        ("Clients", _clients()),
        ("Service", _service()),
    ):
        board.with_row(builders.Row(title))
        for panel in panels:
            board.with_panel(panel)
    return _numbered(board.build())


def text() -> str:
    """The dashboard as Grafana's JSON, with a newline at the end."""
    return JSONEncoder(sort_keys=True, indent=2).encode(build()) + "\n"


def _numbered(board: models.Dashboard) -> models.Dashboard:
    """Panels with ids of their own, so that links to one panel survive a new build."""
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
    return board


def _variables() -> list[builders.QueryVariable]:
    return [
        _variable("project", f"label_values({NAMED}}}, project)"),
        _variable("run", f'label_values({NAMED}, project=~"$project"}}, run)'),
        _variable("role", f"label_values(bifurk_weight_std{{{CHOSEN_RUNS}}}, role)"),
    ]


def _variable(name: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)  # noqa: FBT003 - the builder's form
        .include_all(True)  # noqa: FBT003
        .all_value(".*")
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _now() -> list[stat.Panel | table.Panel]:
    firing = f"bifurk_alerts_firing{{{CHOSEN_RUNS}}}"
    ended = 'bifurk_run_state{state="finished"} == 1'
    age = f"time() - bifurk_last_snapshot_timestamp_seconds{{{CHOSEN_RUNS}}}"
    return [
        _severities(_stat("Alerts firing", (f"sum by (severity) ({firing})", "{{severity}}"))),
        _stat(
            "Runs by state",
            (f"sum by (state) (bifurk_run_state{{{CHOSEN_RUNS}}})", "{{state}}"),
        ),
        _stat("Last step", (f"bifurk_last_snapshot_step{{{CHOSEN_RUNS}}}", RUN_LEGEND)),
        _stat(
            "Seconds since the last snapshot",
            (f"({age}) unless on (project, run) ({ended})", RUN_LEGEND),
        )
        .description("Of runs that have not finished.")
        .unit(units.Seconds)
        .thresholds(_red_from(SILENT_SECONDS)),
        _table("What fires", f"sum by (project, run, kind, severity) ({firing}) > 0").description(
            "`bifurk_alerts_firing`; the sentences are at /api/v1/alerts."
        ),
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
            panel = _lines(f"{title}: {words}", [(query, "{{run}} {{role}}")])
            panels.append(panel.scale_distribution(_logarithmic()))
    return panels


def _clients() -> list[timeseries.Panel]:
    dropped = f"sum by (project, run, reason) (bifurk_client_dropped_total{{{CHOSEN_RUNS}}}) > 0"
    return [
        _lines("Overhead", [(f"bifurk_client_overhead_ratio{{{CHOSEN_RUNS}}}", RUN_LEGEND)])
        .description("Share of the training time that the hook takes, as it measures itself.")
        .unit(units.PercentUnit),
        _lines("Snapshots dropped", [(dropped, f"{RUN_LEGEND} {{{{reason}}}}")])
        .description("Since the run began, by reason; empty when nothing was dropped.")
        .no_value("none"),
    ]


def _service() -> list[timeseries.Panel]:
    measured = "sum by (le) (rate(bifurk_measure_seconds_bucket[$__rate_interval]))"
    moved = "sum by (outcome) (rate(bifurk_snapshots_total[$__rate_interval]))"
    return [
        _lines("Snapshots per second", [(moved, "{{outcome}}")]),
        _lines(
            "Seconds to measure a snapshot",
            [
                (f"histogram_quantile(0.5, {measured})", "median"),
                (f"histogram_quantile(0.95, {measured})", "95 %"),
            ],
        ).unit(units.Seconds),
        _lines(
            "Waiting",
            [
                ("bifurk_queue_age_seconds", "oldest, seconds"),
                ("bifurk_queue_snapshots", "snapshots"),
            ],
        ),
        _lines("Storage", [("bifurk_storage_bytes", "{{kind}}")]).unit(units.BytesIEC),
    ]


def _stat(title: str, query: Query) -> stat.Panel:
    panel = stat.Panel().title(title).datasource(DATASOURCE).span(WIDTH // 4).height(5)
    panel.with_target(_target(query)).no_value("0")
    values = common_builders.ReduceDataOptions().calcs(["lastNotNull"])
    return panel.reduce_options(values).graph_mode(common.BigValueGraphMode.NONE)


def _table(title: str, expression: str) -> table.Panel:
    target = _target((expression, "")).instant().format(PromQueryFormat.TABLE)
    hidden = models.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True}}
    )
    panel = table.Panel().title(title).datasource(DATASOURCE).span(WIDTH).height(6)
    return panel.with_target(target).with_transformation(hidden).no_value("nothing")


def _lines(title: str, queries: Sequence[Query]) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).datasource(DATASOURCE).span(WIDTH // 2).height(8)
    for letter, query in zip("ABCD", queries, strict=False):
        panel.with_target(_target(query).ref_id(letter))
    legend = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return panel.legend(legend.placement(common.LegendPlacement.BOTTOM).show_legend(True))  # noqa: FBT003


def _target(query: Query) -> prometheus.Dataquery:
    expression, legend = query
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id("A")


def _severities(panel: stat.Panel) -> stat.Panel:
    for severity, color in (("critical", "red"), ("warning", "orange"), ("info", "blue")):
        fixed = {"mode": "fixed", "fixedColor": color}
        panel.override_by_name(severity, [models.DynamicConfigValue(id_val="color", value=fixed)])
    return panel


def _red_from(value: float) -> builders.ThresholdsConfig:
    steps = [
        models.Threshold(value=None, color="green"),
        models.Threshold(value=value, color="red"),
    ]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _logarithmic() -> common_builders.ScaleDistributionConfig:
    """Statistics of scale differ between roles by orders of magnitude."""
    config = common_builders.ScaleDistributionConfig()
    return config.type(common.ScaleDistribution.LOG).log(10)


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(), encoding="utf-8")
