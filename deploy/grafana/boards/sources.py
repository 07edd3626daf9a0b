"""Where panels ask, and how: Prometheus by expression, PostgreSQL by SQL over the views."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS: Final = models.DataSourceRef(type_val="prometheus", uid="bifurk-prometheus")
POSTGRES: Final = models.DataSourceRef(
    type_val="grafana-postgresql-datasource", uid="bifurk-postgres"
)

Query = tuple[str, str]
"""An expression, and the legend of its series."""


class SqlQuery(Dataquery):
    """One SQL text; the SDK has no class for PostgreSQL's."""

    def __init__(self, sql: str, *, format: str = "table", ref_id: str = "A") -> None:
        self.sql = sql
        self.format = format
        self.ref_id = ref_id

    def to_json(self) -> dict[str, object]:
        """As Grafana's SQL data sources keep it."""
        return {
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": self.format,
            "rawQuery": True,
            "rawSql": self.sql,
            "refId": self.ref_id,
        }


class Sql(Builder[Dataquery]):
    """Builds a ``SqlQuery``."""

    def __init__(self, sql: str, *, format: str = "table") -> None:
        self._query = SqlQuery(sql, format=format)

    def build(self) -> Dataquery:
        """The query."""
        return self._query


def promql(query: Query, *, ref_id: str = "A") -> prometheus.Dataquery:
    """An expression over time."""
    expression, legend = query
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref_id)


def promql_now(expression: str) -> prometheus.Dataquery:
    """An expression's value now, as a table."""
    return promql((expression, "")).instant().format(PromQueryFormat.TABLE)
