"""The demo passes only when everything that it tells was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bifurk_service.demo.checks import evaluate
from bifurk_service.demo.facts import DemoFacts
from bifurk_service.demo.runs import EMBEDDING, OUTPUT

from .conftest import ALL_JUDGED, alert, entry, fall, shift, split, with_alerts


def unmet(facts: DemoFacts) -> list[str]:
    return [check.name for check in evaluate(facts) if not check.met]


def test_the_story_as_it_should_be_meets_every_condition(facts: DemoFacts) -> None:
    assert unmet(facts) == []


@pytest.mark.parametrize(
    ("run", "alerts", "broken"),
    [
        ("true_labels", [fall(660)], "fork of the embedding"),
        ("shuffled_labels", [], "fork of the embedding"),
        ("no_decay", [split(300)], "fork of the embedding"),
        ("true_labels", [split(250)], "fall of the output layer's stable rank"),
        ("true_labels", [split(250), fall(1140)], "fall of the output layer's stable rank"),
        ("shuffled_labels", [split(250), fall(900)], "fall of the output layer's stable rank"),
        ("faulty_gpt", [], "fault seen in time"),
        ("faulty_gpt", [shift(202, 2)], "fault seen in time"),
        ("faulty_gpt", [shift(178, 2)], "fault seen in time"),
        ("faulty_gpt", [shift(182, 2, 3)], "fault's layer named"),
        ("faulty_gpt", [shift(182, 2), shift(240, None)], "fault's layer named"),
        ("faulty_gpt", [shift(182, 1)], "fault's layer named"),
        ("sound_gpt", [shift(100, 4)], "sound run quiet"),
    ],
)
def test_each_departure_from_the_story_breaks_its_condition(
    facts: DemoFacts, run: str, alerts: list[dict[str, Any]], broken: str
) -> None:
    changed: dict[str, Any] = {run: with_alerts(getattr(facts, run), *alerts)}
    assert any(name.startswith(broken) for name in unmet(replace(facts, **changed)))


@pytest.mark.parametrize(
    "not_a_fall",
    [
        fall(660, before=28.0, after=30.0),
        fall(660, statistics=["effective_rank"]),
        alert("turning_point", "info", 660, entry("hidden.weight", statistics=["stable_rank"])),
        alert(
            "regime_shift",
            "info",
            660,
            entry(OUTPUT, statistics=["stable_rank"], before=30.0, after=20.0),
        ),
    ],
)
def test_only_a_fall_of_the_output_layers_stable_rank_counts(
    facts: DemoFacts, not_a_fall: dict[str, Any]
) -> None:
    assert facts.true_labels.fall_of_stable_rank(OUTPUT) is not None
    assert with_alerts(facts.true_labels, not_a_fall).fall_of_stable_rank(OUTPUT) is None


def test_a_split_of_another_tensor_is_not_the_embeddings(facts: DemoFacts) -> None:
    other = alert("mode_split", "info", 250, entry("hidden.weight"))
    assert with_alerts(facts.true_labels, other).split(EMBEDDING) is None


def test_alerts_of_severity_info_do_not_disturb_the_sound_run(facts: DemoFacts) -> None:
    assert facts.sound_gpt.alerts
    assert facts.sound_gpt.grave_alerts == ()


def test_without_verdicts_there_is_no_success(facts: DemoFacts) -> None:
    unjudged = replace(facts.sound_gpt, snapshots=ALL_JUDGED | {"judged": 19})
    assert unmet(replace(facts, sound_gpt=unjudged)) == ["every snapshot judged"]


def test_a_run_that_never_generalises_has_no_fall_before_it(facts: DemoFacts) -> None:
    record = replace(facts.true_labels.record, accuracy=((1000, 0.5),))
    changed = replace(facts, true_labels=replace(facts.true_labels, record=record))
    (name,) = unmet(changed)
    assert name.startswith("fall of the output layer's stable rank")
