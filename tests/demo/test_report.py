"""The report says what was seen, and no more."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from bifurk_service.demo.facts import DemoFacts
from bifurk_service.demo.report import (
    BLOW_UP_AS_TOLD,
    FORK_AS_TOLD,
    FORK_NOT_AS_TOLD,
    collapse_story,
    fault_story,
    fork_story,
    report,
)

from .conftest import with_alerts


def printed(facts: DemoFacts) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=200)
    code = report(facts, url="http://127.0.0.1:8700", console=console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def test_a_demo_that_showed_everything_ends_with_code_0(facts: DemoFacts) -> None:
    code, text = printed(facts)
    assert code == 0
    assert "NOT MET" not in text
    assert "curl -s 'http://127.0.0.1:8700/api/v1/alerts?run=7'" in text
    assert "/api/v1/runs/7/tensors/1/distribution?step=2000&unit=sigma" in text


def test_a_demo_that_missed_something_ends_with_code_1_and_names_it(facts: DemoFacts) -> None:
    code, text = printed(replace(facts, faulty_gpt=with_alerts(facts.faulty_gpt)))
    assert code == 1
    assert text.count("NOT MET") == 2


def test_the_fork_is_called_the_optimizers_only_when_it_was_seen_so(facts: DemoFacts) -> None:
    assert fork_story(facts)[-1] == FORK_AS_TOLD
    missing = replace(facts, shuffled_labels=with_alerts(facts.shuffled_labels))
    assert fork_story(missing)[-1] == FORK_NOT_AS_TOLD


def test_the_collapse_is_told_with_the_step_at_which_the_network_generalised(
    facts: DemoFacts,
) -> None:
    story = " ".join(collapse_story(facts))
    assert "turning_point at 660." in story
    assert "modular-true-labels: test accuracy passes one half at step 1,140" in story
    assert "modular-shuffled-labels: no fall of the output layer's stable rank" in story
    assert "[warning] regime_shift at 1300." in story
    assert BLOW_UP_AS_TOLD in story


def test_without_an_alerted_blow_up_nothing_is_said_of_one(facts: DemoFacts) -> None:
    quiet = replace(facts, no_decay=with_alerts(facts.no_decay))
    assert BLOW_UP_AS_TOLD not in collapse_story(quiet)


def test_the_loss_around_the_fault_is_given_beside_that_of_the_sound_run(facts: DemoFacts) -> None:
    losses = [3.0] * 169 + [2.0] * 10 + [1.0] * 20 + [9.0] * 61
    record = replace(facts.faulty_gpt.record, losses=tuple(losses))
    changed = replace(facts, faulty_gpt=replace(facts.faulty_gpt, record=record))
    last = fault_story(changed)[-1]
    assert "2.000 in the 10 steps before, 1.000 in the 20 from the fault on" in last
    assert "sound run on the same batches 2.505 and 2.505" in last
