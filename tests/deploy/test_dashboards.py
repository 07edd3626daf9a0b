"""The dashboards: committed as their code writes them, and asking only for what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.views import VIEWS
from deploy.grafana import boards as code
from tests.deploy.boards import (
    BOARDS,
    FOLDER,
    Asked,
    each_board,
    each_label,
    each_promql,
    each_sql,
    filled_promql,
    label_values,
    panels,
    variables,
)
from tests.deploy.expressions import EXPOSED, OF_PROMETHEUS, RECORDED, metric_names

GRAFANA = FOLDER.parent
SOURCES: dict[str, dict[str, Any]] = {
    source["type"]: source
    for path in (GRAFANA / "provisioning/datasources").glob("*.yml")
    for source in yaml.safe_load(path.read_text())["datasources"]
}
OF_ONE_RUN = {"bifurk-run", "bifurk-spectra"}


def test_the_boards_are_those_of_the_code() -> None:
    assert set(BOARDS) == set(code.BOARDS)


@each_board
def test_what_is_committed_is_what_the_code_writes(uid: str) -> None:
    written = (FOLDER / f"{uid}.json").read_text()
    assert written == code.text(uid), "run python -m deploy.grafana.boards"


@each_board
def test_its_address_stays(uid: str) -> None:
    assert BOARDS[uid]["uid"] == uid
    ids = [panel["id"] for panel in BOARDS[uid]["panels"]]
    assert len(set(ids)) == len(ids)


@each_promql
def test_every_expression_parses_and_names_metrics_that_there_are(asked: Asked) -> None:
    names = metric_names(filled_promql(asked.text))
    assert names
    assert names <= EXPOSED | RECORDED | OF_PROMETHEUS


@each_label
def test_variables_list_the_values_of_the_label_that_they_fill(asked: Asked) -> None:
    selector, label = label_values(asked)
    promql_parser.parse(selector)
    assert asked.title == f"variable {label}"


@each_sql
def test_sql_reads_the_views_alone_and_quotes_what_is_picked(asked: Asked) -> None:
    read = set(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", asked.text)) - {"found", "drawn"}
    assert read
    assert read <= set(VIEWS)
    for name, how in re.findall(r"\$\{(\w+)(?::(\w+))?\}", asked.text):
        assert how == "sqlstring" or (name, how) == ("statistic", "raw")
    assert not re.search(r"\$[a-z]", asked.text)


def test_the_one_thing_put_in_unquoted_is_of_a_list_that_nobody_adds_to() -> None:
    statistic = variables("bifurk-run")["statistic"]
    assert statistic["type"] == "custom"
    assert statistic["allowCustomValue"] is False
    assert statistic["query"].split(",") == list(STATISTIC_NAMES)
    assert [option["value"] for option in statistic["options"]] == list(STATISTIC_NAMES)


@each_board
def test_boards_of_one_run_let_pick_it_its_roles_and_layers(uid: str) -> None:
    names = set(variables(uid))
    assert "page" in names
    if uid in OF_ONE_RUN:
        assert {"project", "run", "role", "layer"} <= names


@each_board
def test_panels_ask_data_sources_that_are_provisioned(uid: str) -> None:
    asking = [*panels(uid), *(v for v in variables(uid).values() if v["type"] == "query")]
    asking += BOARDS[uid]["annotations"].get("list", [])
    for described in asking:
        source = SOURCES[described["datasource"]["type"]]
        assert described["datasource"]["uid"] == source["uid"]


@each_board
def test_panels_lie_side_by_side(uid: str) -> None:
    taken: dict[tuple[int, int], int] = {}
    for panel in BOARDS[uid]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["id"]) == panel["id"]


@pytest.mark.parametrize("uid", sorted(OF_ONE_RUN))
def test_a_panel_over_steps_has_its_steps_as_numbers_and_its_alerts_as_points(uid: str) -> None:
    over_steps = [panel for panel in panels(uid) if panel["type"] == "trend"]
    assert over_steps
    for panel in over_steps:
        assert panel["options"]["xField"] == "step"
        assert [t["id"] for t in panel["transformations"]] == [
            "groupingToMatrix",
            "convertFieldType",
            "organize",
        ]
        points = {
            override["matcher"]["options"]
            for override in panel["fieldConfig"]["overrides"]
            if {"id": "custom.drawStyle", "value": "points"} in override["properties"]
        }
        assert points == {"alert: critical", "alert: warning", "alert: info"}


@pytest.mark.parametrize("uid", sorted({*OF_ONE_RUN, "bifurk"}))
def test_alerts_are_annotations_by_the_clock(uid: str) -> None:
    [annotation] = BOARDS[uid]["annotations"]["list"]
    assert annotation["enable"]


@each_board
def test_links_lead_to_boards_that_there_are_and_to_bifurk_s_page(uid: str) -> None:
    text = (FOLDER / f"{uid}.json").read_text()
    assert set(re.findall(r'"/d/([\w-]+)', text)) <= set(BOARDS)
    assert '"${page}/' in text


def test_the_files_are_where_grafana_looks() -> None:
    compose = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/bifurk.yml").read_text())
    [folder] = {p["options"]["path"] for p in provider["providers"]}
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == folder
