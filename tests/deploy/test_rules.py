"""The rules: promtool takes them, they fire when they should, and each has its page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.alertmanager import CONFIG as ALERTMANAGER_CONFIG
from tests.deploy.alertmanager import amtool
from tests.deploy.expressions import EXPOSED, OF_PROMETHEUS, RECORDED, RULES, metric_names
from tests.deploy.prometheus import promtool

ROOT = Path(__file__).parents[2]
EXAMPLES = RULES.parent / "examples"
FILES = sorted([*RULES.glob("*.yml"), *EXAMPLES.glob("*.yml")])
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text()


def rules(*folders: Path) -> list[dict[str, Any]]:
    return [
        rule
        for path in FILES
        if path.parent in folders
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


ALERTING = [rule for rule in rules(RULES, EXAMPLES) if "alert" in rule]
each_alert = pytest.mark.parametrize("rule", ALERTING, ids=lambda rule: rule["alert"])


def test_promtool_takes_them() -> None:
    checked = promtool("check", "rules", "--lint-fatal", *map(str, FILES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_they_fire_when_they_should_and_not_before() -> None:
    tested = promtool("test", "rules", str(Path(__file__).parent / "rules_test.yml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@each_alert
def test_each_has_a_summary_a_description_and_a_page(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    page, _, anchor = annotations["runbook_url"].partition("#")
    assert page == "docs/runbooks.md"
    assert anchor == rule["alert"].lower()
    assert f"\n## {rule['alert']}\n" in RUNBOOKS


def test_every_page_is_of_a_rule() -> None:
    pages = re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)
    assert pages == [rule["alert"] for rule in (*_health(), *rules(EXAMPLES))]


def _health() -> list[dict[str, Any]]:
    return [rule for rule in rules(RULES) if "alert" in rule]


@pytest.mark.parametrize("rule", _health(), ids=lambda rule: rule["alert"])
def test_those_of_the_service_say_so_and_how_bad_it_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["component"] == "bifurk"
    assert rule["labels"]["severity"] in ("info", "warning", "critical")


@pytest.mark.parametrize("rule", _health(), ids=lambda rule: rule["alert"])
def test_each_is_in_the_unit_tests(rule: dict[str, Any]) -> None:
    assert rule["alert"] in (Path(__file__).parent / "rules_test.yml").read_text()


@pytest.mark.parametrize(
    "rule", rules(RULES, EXAMPLES), ids=lambda rule: rule.get("alert") or rule["record"]
)
def test_each_asks_only_for_what_there_is(rule: dict[str, Any]) -> None:
    assert metric_names(rule["expr"]) <= EXPOSED | RECORDED | OF_PROMETHEUS


def test_trainings_are_told_by_one_route_alone() -> None:
    """The service tells of them itself; no rule that is loaded speaks of its alerts."""
    for rule in _health():
        assert "bifurk_alerts_firing" not in rule["expr"]
        assert "bifurk:alerts_firing" not in rule["expr"]


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("component=bifurk severity=critical alertname=BifurkDown", "pager"),
        ("component=bifurk severity=warning alertname=BifurkJudgedLate", "people"),
        ("project=p run=r severity=critical kind=non_finite", "pager"),
        ("project=p run=r severity=warning kind=path_fork", "people"),
    ],
)
def test_alertmanager_routes(labels: str, receivers: str) -> None:
    routed = amtool(
        "config", "routes", "test", f"--config.file={ALERTMANAGER_CONFIG}", *labels.split()
    )
    assert routed.stdout.strip() == receivers, routed.stderr
