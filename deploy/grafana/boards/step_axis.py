"""Panels whose x is the training's step: Trend panels over SQL, the alerts beside the rest.

A text gives rows (step, name, value); three transformations turn them into one frame with a column
a name, which is what a Trend panel draws. It takes no annotations: an alert is a point at the top.
"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import trend
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.boards.panels import (
    SEVERITY_COLORS,
    WIDTH,
    fixed_color,
    list_legend,
)
from deploy.grafana.boards.sources import POSTGRES, Sql
from deploy.grafana.boards.variables import CHOSEN_RUN, CHOSEN_TENSORS

ALERT: Final = "alert: "
"""What the names of the alerts' series begin with."""
MATRIX: Final = "step\\name"
"""What grouping to a matrix calls its first column."""
BUCKETS: Final = 500
"""More than that no screen shows side by side."""
MEDIAN: Final = "percentile_cont(0.5) WITHIN GROUP (ORDER BY"


def by_role(column: str) -> str:
    """SQL: the median over a role's tensors, a series a role."""
    return _with_alerts(
        f"SELECT step, role AS name, {MEDIAN} {column}) AS value\n"
        f"  FROM bifurk_v1_series WHERE {CHOSEN_TENSORS} AND {column} IS NOT NULL\n"
        "  GROUP BY step, role"
    )


def by_layer(column: str) -> str:
    """SQL: the median over a layer's tensors of the chosen roles, a series a layer."""
    return _with_alerts(
        "SELECT step, coalesce('layer ' || layer, 'no layer') AS name, "
        f"{MEDIAN} {column}) AS value\n"
        f"  FROM bifurk_v1_series WHERE {CHOSEN_TENSORS} AND {column} IS NOT NULL\n"
        "  GROUP BY step, layer"
    )


def logged() -> str:
    """SQL: what the training logged, a series a name."""
    return _with_alerts(
        "SELECT step, name, mean AS value\n"
        f"  FROM bifurk_v1_scalars WHERE {CHOSEN_RUN} AND name IN (${{scalar:sqlstring}}) "
        "AND mean IS NOT NULL"
    )


def _with_alerts(series: str) -> str:
    """At most ``BUCKETS`` stretches of steps, the least and the largest value of each."""
    return (
        f"WITH found AS (\n  {series}\n),\n"
        "wide AS (\n"
        f"  SELECT min(step) AS first, (max(step) - min(step)) / {BUCKETS} + 1 AS width\n"
        "  FROM found\n),\n"
        "drawn AS (\n"
        "  SELECT unnest(ARRAY[min(step), max(step)]) AS step, name,\n"
        "    unnest(ARRAY[min(value), max(value)]) AS value\n"
        "  FROM found, wide GROUP BY name, (step - first) / width\n)\n"
        "SELECT DISTINCT step, name, value FROM drawn\n"
        "UNION ALL\n"
        f"SELECT detected_step, '{ALERT}' || severity, (SELECT max(value) FROM drawn)\n"
        f"  FROM bifurk_v1_alerts WHERE {CHOSEN_RUN} AND NOT superseded AND NOT silenced\n"
        "  GROUP BY detected_step, severity\n"
        "ORDER BY step"
    )


def trend_panel(
    title: str,
    sql: str,
    *,
    width: int = WIDTH,
    scale: common_builders.ScaleDistributionConfig | None = None,
) -> trend.Panel:
    """A figure over steps; its values on a linear scale where none is given."""
    panel = trend.Panel().title(title).datasource(POSTGRES).span(width).height(9)
    panel.with_target(Sql(sql)).x_field("step").legend(list_legend())
    for transformation in _matrix():
        panel.with_transformation(transformation)
    for severity, color in SEVERITY_COLORS.items():
        panel.override_by_name(f"{ALERT}{severity}", [*_points(), fixed_color(color)])
    panel.span_nulls(True)  # noqa: FBT003 - the builder's form
    return panel if scale is None else panel.scale_distribution(scale)


def _points() -> list[models.DynamicConfigValue]:
    return [
        models.DynamicConfigValue(id_val="custom.drawStyle", value=common.GraphDrawStyle.POINTS),
        models.DynamicConfigValue(id_val="custom.pointSize", value=10),
    ]


def _matrix() -> list[models.DataTransformerConfig]:
    """Rows to columns; the steps become texts on the way, and numbers again."""
    grouped = {
        "rowField": "step",
        "columnField": "name",
        "valueField": "value",
        "emptyValue": "null",
    }
    numbers = {"conversions": [{"targetField": MATRIX, "destinationType": "number"}], "fields": {}}
    return [
        models.DataTransformerConfig(id_val="groupingToMatrix", options=grouped),
        models.DataTransformerConfig(id_val="convertFieldType", options=numbers),
        models.DataTransformerConfig(
            id_val="organize", options={"renameByName": {MATRIX: "step"}, "excludeByName": {}}
        ),
    ]
