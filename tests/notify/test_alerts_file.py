"""The alerts file: what is wrong is named with its place; secrets come from elsewhere."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from bifurk_service.errors import SetupError
from bifurk_service.notify.followed import FollowedPolicy
from bifurk_service.notify.rules import Policy

EXAMPLE = Path(__file__).parents[2] / "docs/channels.md"

WRONG = [
    ("rules: [", "line 1: is not YAML"),
    ("rule: []", "line 1: rule: is not a field that is known here"),
    ("rules:\n  - {name: one, action: quiet}", "line 2: rules[0].action: input should be"),
    ("rules:\n- {name: one, action: silence, match: {kinds: [x]}}",
     "line 2: rules[0].match.kinds: is not a field"),
    ("rules:\n- name: one\n  action: notify\n  cooldown_minutes: soon",
     "line 4: rules[0].cooldown_minutes: input should be a valid number"),
    ("rules:\n- name: one\n  action: notify\n  minimum_step: -1", "got '-1'"),
    ("rules:\n- {name: one, action: silence, minimum_step: 5}", "belong to `action: notify`"),
    ("rules:\n- {name: one, action: notify, channels: [ops]}", "names channel 'ops'; known: none"),
    ("rules:\n- {name: a, action: silence}\n- {name: a, action: silence}", "two rules are named"),
    ("rules:\n- {name: a, action: silence, match: {severity: [fatal]}}",
     "rules[0].match.severity[0]: input should be 'info', 'warning' or 'critical', got 'fatal'"),
    ("rules: []\nrules: []", "line 2: is not YAML: 'rules' stands here twice"),
    ("channels:\n  ops:\n    type: pigeon\n    url: https://a.example.org",
     "line 3: channels.ops: expected a type of 'webhook', 'slack', 'alertmanager', got 'pigeon'"),
    ("channels:\n  ops: {type: slack}", "channels.ops: expected exactly one of url, url_env"),
    ("channels:\n  ops: {type: slack, url: 'ftp://a.example.org'}",
     "channels.ops.url: expected http:// or https://"),
    ("channels:\n  ops: {type: slack, url_env: NOT_SET_ANYWHERE}",
     "channels.ops.url: expected a value in the variable NOT_SET_ANYWHERE"),
    ("channels:\n  'o p s': {type: slack, url: 'https://a.example.org'}", "channels.o p s"),
    ("- a list", "valid dictionary"),
    *((f"baselines:\n- {{name: one, project: gpt, {rest}}}", said) for rest, said in (
        ("good: [a, b, c, d, e], statistics: [stdd]",
         "line 2: baselines[0].statistics: expected statistics of docs/statistics.md such as"),
        ("good: [a, b, c, d, e], statistics: [stdd]", "such as 'std', got 'stdd'"),
        ("good: [a, b, c, d, e], statistics: shape_class",
         "'shape_class' names classes, of which there is no band"),
        ("good: [a, b, c, d, e], statistics: [std, std]", "statistics: 'std' stands here twice"),
        ("good: [a, b, c, d, e], statistics: []", "baselines[0].statistics: tuple should have at"),
        ("good: [a, b], statistics: [std]",
         "baselines[0].good: tuple should have at least 3 items"),
        ("good: [a, b, a, c, d], statistics: [std]", "baselines[0].good: 'a' stands here twice"),
        ("good: [a, b, c], statistics: [std]",
         "least_good is 5 and 3 good runs are named: nothing would ever be said"),
        ("good: [a, b, c], statistics: [std], least_good: 2",
         "least_good: input should be greater than or equal to 3, got '2'"),
        ("good: [a, b, c, d, e], statistics: [std], role: mlp.up",
         "baselines[0].role: is not a field"),
        ("statistics: [std]", "baselines[0].good: field required"),
        ("good: a, statistics: [std]", "baselines[0].good: input should be a valid tuple, got 'a'"),
        ("good: [a, b, c, d, ''], statistics: [std]", "baselines[0].good[4]: string should have"),
    )),
    ("baselines:\n- &one {name: a, project: p, good: [a, b, c, d, e], statistics: std}\n- *one",
     "two baselines are named 'a'; an alert is known by that name"),
    ("!!python/object/apply:os.system [ls]", "is not YAML"),
    ("? [a]\n: b", "line 1: is not YAML: found unhashable key"),
    ("? {a: b}\n: b", "line 1: is not YAML: found unhashable key"),
    ("rules:\n- !!int ''", "line 2: is not YAML: a value does not fit its tag 'int'"),
    ("rules:\n- !!int x", "line 2: is not YAML: a value does not fit its tag 'int'"),
    ("rules:\n- !!bool perhaps", "line 2: is not YAML: a value does not fit its tag 'bool'"),
    ("rules: !!timestamp '99999-01-01'", "a value does not fit its tag 'timestamp'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_wrong_is_named_with_file_and_place(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(text)
    with pytest.raises(SetupError) as raised:
        Policy.load(file)
    assert str(file) in raised.value.detail
    assert said in raised.value.detail


@pytest.mark.parametrize(
    ("place", "given", "field"),
    [
        ("baselines", {"name": "x\0y"}, "name"),
        ("baselines", {"project": "x\0y"}, "project"),
        ("baselines", {"run": "x\0y"}, "run"),
        ("baselines", {"good": ["a", "b", "x\0y"]}, "good[2]"),
        ("baselines", {"roles": ["x\0y"]}, "roles[0]"),
        ("baselines", {"match": "x\0y"}, "match"),
        ("rules", {"name": "x\0y"}, "name"),
        *(("rules", {"match": {name: "x\0y"}}, f"match.{name}")
          for name in ("project", "run", "tensor")),
        ("rules", {"match": {"kind": "x\0y"}}, "match.kind[0]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("character", ["\0", "\n", "\x1b", "\u2028", "\u202e"])
def test_what_no_name_can_hold_is_refused_in_words(
    tmp_path: Path, place: str, given: dict[str, object], field: str, character: str
) -> None:
    least = {
        "baselines": {"name": "one", "project": "gpt", "good": list("abc"), "statistics": ["std"],
                      "least_good": 3},
        "rules": {"name": "one", "action": "silence"},
    }[place]  # fmt: skip
    file = tmp_path / "alerts.yaml"
    written = json.dumps({place: [least | given]})
    file.write_text(written.replace(json.dumps("\0")[1:-1], json.dumps(character)[1:-1]))
    with pytest.raises(SetupError) as raised:
        Policy.load(file)
    said = f"line 1: {place}[0].{field}: expected text without control characters, got "
    assert raised.value.detail == f"{file}, {said}{f'x{character}y'!r}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read: No such file"):
        Policy.load(tmp_path / "alerts.yaml")


@pytest.mark.parametrize("text", ["", "# nothing yet", "channels:\nrules:\n"])
def test_an_empty_file_is_a_policy_without_rules(tmp_path: Path, text: str) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(text)
    assert Policy.load(file) == Policy()


def test_addresses_and_secrets_come_from_variables_and_files_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example.org/hidden-path")
    (tmp_path / "key").write_text("hidden-key\n")
    file = tmp_path / "alerts.yaml"
    file.write_text("channels:\n  ops: {type: webhook, url_env: HOOK, secret_file: key}\n")
    [channel] = Policy.load(file).channels
    assert channel.url == "https://hooks.example.org/hidden-path"
    assert channel.secret == "hidden-key"
    assert "hidden" not in repr(channel)


def test_the_documented_example_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, after = EXAMPLE.read_text().partition("```yaml\n")
    file = tmp_path / "alerts.yaml"
    file.write_text(after.partition("```")[0])
    (tmp_path / "webhook-secret").write_text("s3cret")
    monkeypatch.setenv("SLACK_URL", "https://hooks.example.org/services/T/B/X")
    policy = Policy.load(file)
    assert {channel.type for channel in policy.channels} == {"webhook", "slack", "alertmanager"}
    assert len(policy.rules) == 4
    assert [baseline.name for baseline in policy.baselines] == ["steady"]


def test_a_baseline_has_what_the_file_says_and_defaults(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(
        "baselines:\n"
        "- {name: a, project: p, good: [a, b, c, d, e], statistics: std}\n"
        "- {name: b, project: p, run: 'try-*', good: [a, b, c], statistics: [std], least_good: 3,\n"
        "   roles: mlp.up, match: '*.weight'}\n"
    )
    first, second = Policy.load(file).baselines
    assert (first.run, first.statistics, first.least_good) == ("*", ("std",), 5)
    assert (first.roles, first.match) == (None, None)
    assert (second.run, second.roles, second.match) == ("try-*", ("mlp.up",), "*.weight")


def test_a_changed_file_is_taken_up_and_a_broken_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text("rules: [{name: first, action: silence}]")
    followed = FollowedPolicy(file)
    assert not followed.refresh()

    replace(file, "rules: [{name: second, action: silence}]")
    assert looked_at_twice(followed)
    assert followed.current.rules[0].name == "second"

    replace(file, "rules: [{name: third}]")
    with caplog.at_level(logging.ERROR, logger="bifurk.service"):
        assert not looked_at_twice(followed)
        assert not looked_at_twice(followed)
    assert followed.current.rules[0].name == "second"
    [line] = caplog.messages
    assert "rules[0].action" in line

    file.unlink()
    assert not looked_at_twice(followed)
    replace(file, "rules: [{name: fourth, action: silence}]")
    assert looked_at_twice(followed)


def looked_at_twice(followed: FollowedPolicy) -> bool:
    """What came of two looks: with one a file may yet be in the midst of being written."""
    return [followed.refresh(), followed.refresh()][-1]


def replace(file: Path, text: str) -> None:
    """As an editor does: a new file in the place of the old."""
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)
