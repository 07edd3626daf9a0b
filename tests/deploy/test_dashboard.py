"""The dashboard: committed as its code writes it, and asking only for what there is."""

from __future__ import annotations

import promql_parser
import yaml

from bifurk_service.metrics import METRICS
from deploy.grafana import dashboard
from tests.deploy.board import BOARD, PANELS, PATH, VARIABLES, each_query, filled, label_values
from tests.deploy.expressions import metric_names

EXPOSED = {row.name for row in METRICS} | {
    f"{row.name}{suffix}"
    for row in METRICS
    if row.kind == "histogram"
    for suffix in ("_bucket", "_sum", "_count")
}


def test_what_is_committed_is_what_the_code_writes() -> None:
    assert PATH.read_text() == dashboard.text(), "run deploy/grafana/dashboard.py"


def test_its_address_stays() -> None:
    assert BOARD["uid"] == "bifurk"
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


@each_query
def test_every_query_parses_and_names_metrics_of_the_table(title: str, expression: str) -> None:
    names = metric_names(filled(expression))
    assert names
    assert names <= EXPOSED, title


def test_its_variables_are_project_run_and_role() -> None:
    assert [variable["name"] for variable in VARIABLES] == ["project", "run", "role"]
    for variable in VARIABLES:
        selector, label = label_values(variable)
        promql_parser.parse(selector)
        assert label == variable["name"]


def test_panels_ask_the_data_source_that_is_provisioned() -> None:
    provisioned = yaml.safe_load(
        (PATH.parents[1] / "provisioning/datasources/prometheus.yml").read_text()
    )
    [source] = provisioned["datasources"]
    for described in [*PANELS, *VARIABLES]:
        assert described["datasource"] == {"type": source["type"], "uid": source["uid"]}


def test_panels_lie_side_by_side() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_the_file_is_where_grafana_looks() -> None:
    compose = yaml.safe_load((PATH.parents[3] / "docker-compose.yml").read_text())
    provider = yaml.safe_load((PATH.parents[1] / "provisioning/dashboards/bifurk.yml").read_text())
    [folder] = {p["options"]["path"] for p in provider["providers"]}
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == folder
