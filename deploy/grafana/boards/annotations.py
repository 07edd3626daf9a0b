"""Alerts as marks on wall-clock panels."""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.boards.sources import POSTGRES, PROMETHEUS, SqlQuery
from deploy.grafana.boards.variables import CHOSEN_RUN, CHOSEN_RUNS


class Annotation(models.AnnotationQuery):
    """An annotation with a query of its data source, which the SDK's class does not hold."""

    more: dict[str, object]

    def to_json(self) -> dict[str, object]:
        """As Grafana keeps it."""
        return {**super().to_json(), **self.more}


class AnnotationBuilder(Builder[models.AnnotationQuery]):
    """Builds an ``Annotation``."""

    def __init__(self, source: models.DataSourceRef, more: dict[str, object]) -> None:
        self._annotation = Annotation(name="alerts", datasource=source, icon_color="red")
        self._annotation.more = more

    def build(self) -> models.AnnotationQuery:
        """The annotation."""
        return self._annotation


def live_alerts() -> AnnotationBuilder:
    """While alerts fire, from Prometheus."""
    expression = (
        f"sum by (project, run, kind, severity) (bifurk_alerts_firing{{{CHOSEN_RUNS}}}) > 0"
    )
    return AnnotationBuilder(
        PROMETHEUS,
        {
            "expr": expression,
            "step": "60s",
            "target": {"expr": expression, "interval": "60s", "refId": "Anno"},
            "tagKeys": "kind,severity",
            "titleFormat": "{{project}}/{{run}}",
            "textFormat": "{{kind}}",
        },
    )


def raised_alerts() -> AnnotationBuilder:
    """When the alerts of the chosen run were raised, each with its sentence, from the database."""
    sql = (
        "SELECT to_timestamp(created_at) AS time, sentence AS text, "
        "kind || ',' || severity AS tags\n"
        f"FROM bifurk_v1_alerts WHERE {CHOSEN_RUN} AND NOT silenced\n"
        "  AND created_at BETWEEN $__unixEpochFrom() AND $__unixEpochTo()"
    )
    return AnnotationBuilder(POSTGRES, {"target": SqlQuery(sql, ref_id="Anno")})
