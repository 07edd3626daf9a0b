"""The shapes of panels that the dashboards share, and how boards begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.boards.sources import (
    POSTGRES,
    PROMETHEUS,
    Query,
    Sql,
    promql,
    promql_now,
)
from deploy.grafana.boards.variables import Variable

WIDTH: Final = 24
LINEAR_BELOW: Final = 1e-6
"""On a signed logarithmic scale; weights and their movement lie above."""
RUN_LEGEND: Final = "{{project}}/{{run}}"
SEVERITY_COLORS: Final = {"critical": "red", "warning": "orange", "info": "blue"}

Links = Mapping[str, tuple[str, str]]
"""By column, what a link says and where it leads."""


def begin(
    title: str, description: str, variables: Sequence[Variable], *, refresh: str = "30s"
) -> builders.Dashboard:
    """A dashboard without panels: its variables, and links to the others and to bifurk's page."""
    board = (
        builders.Dashboard(title)
        .description(description)
        .tags(["bifurk"])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh(refresh)
        .link(_link_to_others())
    )
    for variable in variables:
        board.with_variable(variable)
    return board


def page_link(title: str, path: str) -> builders.DashboardLink:
    """A link at the top of a board to a page of bifurk."""
    link = builders.DashboardLink(title).type(models.DashboardLinkType.LINK)
    return link.url(f"${{page}}{path}").target_blank(True)  # noqa: FBT003 - the builder's form


def _link_to_others() -> builders.DashboardLink:
    link = builders.DashboardLink("bifurk").type(models.DashboardLinkType.DASHBOARDS)
    link.tags(["bifurk"]).include_vars(True).keep_time(True)  # noqa: FBT003
    return link.as_dropdown(True)  # noqa: FBT003


def number(title: str, query: Query, *, width: int = WIDTH // 4) -> stat.Panel:
    """The newest value of each series, large."""
    panel = stat.Panel().title(title).datasource(PROMETHEUS).span(width).height(5)
    panel.with_target(promql(query)).no_value("0")
    values = common_builders.ReduceDataOptions().calcs(["lastNotNull"])
    return panel.reduce_options(values).graph_mode(common.BigValueGraphMode.NONE)


def lines(title: str, queries: Sequence[Query], *, width: int = WIDTH // 2) -> timeseries.Panel:
    """Series over wall-clock time."""
    panel = timeseries.Panel().title(title).datasource(PROMETHEUS).span(width).height(8)
    for letter, query in zip("ABCD", queries, strict=False):
        panel.with_target(promql(query, ref_id=letter))
    return panel.legend(list_legend())


def live_table(title: str, expression: str, links: Links | None = None) -> table.Panel:
    """What an expression says now, a row a series."""
    hidden = models.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True}}
    )
    panel = table.Panel().title(title).datasource(PROMETHEUS).span(WIDTH).height(6)
    panel.with_target(promql_now(expression)).with_transformation(hidden).no_value("nothing")
    return _linked(panel, links or {})


def stored_table(title: str, sql: str, links: Links, *, height: int = 9) -> table.Panel:
    """What the database says, a row a row."""
    panel = table.Panel().title(title).datasource(POSTGRES).span(WIDTH).height(height)
    return _linked(panel.with_target(Sql(sql)).no_value("nothing"), links)


def _linked(panel: table.Panel, links: Links) -> table.Panel:
    for column, (title, url) in links.items():
        link = {"title": title, "url": url, "targetBlank": True}
        panel.override_by_name(column, [models.DynamicConfigValue(id_val="links", value=[link])])
    return panel


def list_legend() -> common_builders.VizLegendOptions:
    """Names below the figure."""
    legend = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return legend.placement(common.LegendPlacement.BOTTOM).show_legend(True)  # noqa: FBT003


def fixed_color(color: str) -> models.DynamicConfigValue:
    """A series' color, whatever the palette says."""
    return models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})


def severities(panel: stat.Panel) -> stat.Panel:
    """Colors by severity, where severities name the series."""
    for severity, color in SEVERITY_COLORS.items():
        panel.override_by_name(severity, [fixed_color(color)])
    return panel


def red_from(value: float) -> builders.ThresholdsConfig:
    """Green below, red from there on."""
    steps = [
        models.Threshold(value=None, color="green"),
        models.Threshold(value=value, color="red"),
    ]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def logarithmic() -> common_builders.ScaleDistributionConfig:
    """Statistics of scale differ between roles by orders of magnitude."""
    config = common_builders.ScaleDistributionConfig()
    return config.type(common.ScaleDistribution.LOG).log(10)


def signed_logarithmic() -> common_builders.ScaleDistributionConfig:
    """The same where a statistic may be negative: linear around zero."""
    config = common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.SYMLOG)
    return config.log(10).linear_threshold(LINEAR_BELOW)
