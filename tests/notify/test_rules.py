"""Rules: the first that matches decides; what no rule names is told when it matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bifurk_service.domain import Alert, Severity
from bifurk_service.notify.rules import Policy, Ruling
from tests.notify.alerts import alert

CHANNELS = """
channels:
  ops: {type: webhook, url: "https://hooks.example.org/a"}
  team: {type: slack, url: "https://hooks.example.org/b"}
"""


@pytest.fixture
def ruling(tmp_path: Path) -> Any:
    def rule(
        rules: str,
        told: Alert,
        *,
        project: str = "gpt",
        run: str = "small",
        since_told: float | None = None,
    ) -> Ruling:
        file = tmp_path / "alerts.yaml"
        file.write_text(f"{CHANNELS}\nrules:\n{rules}" if rules else CHANNELS)
        return Policy.load(file).rule(
            told, project=project, run=run, seconds_since_told=lambda _kind: since_told
        )

    return rule


def test_without_a_file_nobody_is_told_and_nothing_silenced() -> None:
    nobody = Policy.load(None).rule(
        alert(), project="p", run="r", seconds_since_told=lambda _kind: None
    )
    assert nobody == Ruling()


@pytest.mark.parametrize(
    ("severity", "told"),
    [
        (Severity.INFO, ()),
        (Severity.WARNING, ("ops", "team")),
        (Severity.CRITICAL, ("ops", "team")),
    ],
)
def test_without_rules_everybody_is_told_of_warnings_and_worse(
    ruling: Any, severity: Severity, told: tuple[str, ...]
) -> None:
    assert ruling("", alert(severity=severity)) == Ruling(channels=told)


def test_the_first_rule_that_matches_decides(ruling: Any) -> None:
    rules = """
  - {name: quiet, match: {run: "small*"}, action: silence}
  - {name: loud, action: notify, channels: [ops]}
"""
    assert ruling(rules, alert()).silenced_by == "quiet"
    assert ruling(rules, alert(), run="large") == Ruling(channels=("ops",))


MATCHES = [
    ("kind: regime_shift", True),
    ("kind: [frozen, regime_*]", True),
    ("kind: [frozen]", False),
    ('project: "g*"', True),
    ('project: "G*"', False),
    ('run: "larg?"', False),
    ("severity: [warning]", True),
    ("severity: critical", False),
    ('{kind: regime_shift, run: "other"}', False),
]  # fmt: skip


@pytest.mark.parametrize(("match", "matches"), MATCHES)
def test_a_rule_matches_when_all_that_it_names_does(ruling: Any, match: str, matches: bool) -> None:
    inside = match if match.startswith("{") else f"{{{match}}}"
    found = ruling(f"  - {{name: one, match: {inside}, action: silence}}", alert())
    assert (found.silenced_by == "one") is matches


@pytest.mark.parametrize(
    ("tensors", "silenced", "told"),
    [
        (("h.0.bias",), True, True),
        (("h.0.bias", "h.0.weight"), False, True),
        (("h.0.weight",), False, False),
        ((), False, False),
    ],
)
def test_a_silence_is_for_alerts_whose_tensors_all_match_and_telling_for_any(
    ruling: Any, tensors: tuple[str, ...], silenced: bool, told: bool
) -> None:
    one = alert(*tensors)
    silence = ruling('  - {name: one, match: {tensor: "*.bias"}, action: silence}', one)
    assert (silence.silenced_by == "one") is silenced
    notify = ruling(
        '  - {name: one, match: {tensor: "*.bias"}, action: notify, channels: [ops]}', one
    )
    assert (notify.channels == ("ops",)) is told


def test_a_silence_holds_for_every_severity_and_telling_for_warnings_unless_named(
    ruling: Any,
) -> None:
    slight = alert(severity=Severity.INFO)
    assert ruling("  - {name: one, action: silence}", slight).silenced_by == "one"
    assert ruling("  - {name: one, action: notify}", slight) == Ruling()
    named = "  - {name: one, match: {severity: [info]}, action: notify}"
    assert ruling(named, slight).channels == ("ops", "team")


def test_before_the_minimum_step_a_rule_keeps_quiet(ruling: Any) -> None:
    rule = "  - {name: late, action: notify, minimum_step: 1000}"
    assert ruling(rule, alert(detected_step=999)).silenced_by == "late"
    assert ruling(rule, alert(detected_step=1000)).silenced_by is None


def test_within_the_cooldown_of_its_kind_a_further_alert_is_kept_quiet(ruling: Any) -> None:
    rule = "  - {name: calm, action: notify, cooldown_minutes: 10}"
    assert ruling(rule, alert(), since_told=599.0).silenced_by == "calm"
    assert ruling(rule, alert(), since_told=600.0).silenced_by is None
    assert ruling(rule, alert(), since_told=None).channels == ("ops", "team")
