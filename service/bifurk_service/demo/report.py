"""Tells what the demo's runs did, in words that claim no more than was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bifurk_service.demo.api import Json
from bifurk_service.demo.checks import Check, evaluate
from bifurk_service.demo.facts import DemoFacts, RunFacts
from bifurk_service.demo.runs import (
    EMBEDDING,
    FAULT_BLOCK,
    FAULT_FACTOR,
    FAULT_STEP,
    OUTPUT,
    PROJECT,
)

STEPS_BEFORE: Final = 10
STEPS_AFTER: Final = 20
"""Windows of the loss around the fault: short enough for what it did, long enough to average."""

FORK_AS_TOLD: Final = (
    "The distribution truly forks, with true and with shuffled labels alike, and only under weight "
    "decay: it is the optimizer's doing (AdamW's steps of nearly equal size against a wide "
    "initialisation that decay shrinks) and no sign of generalisation."
)
FORK_NOT_AS_TOLD: Final = (
    "Expected were forks with true and with shuffled labels and none without weight decay; this is "
    "not what was seen, so nothing is concluded from it."
)
BLOW_UP_AS_TOLD: Final = (
    "So a falling stable rank alone is no proof of learning: without decay it falls too, in a "
    "blow-up of the norm, and nothing generalises. Nor does the order of two events make one the "
    "reason of the other."
)


def report(facts: DemoFacts, *, url: str, console: Console) -> int:
    """Prints the story, the REST calls that show it, and every condition with what came of it.

    Args:
        facts: of the five runs.
        url: of the server that still serves them.
        console: where to print.

    Returns:
        0 when all conditions are met, else 1.
    """
    for title, lines in (
        ("A fork that is the optimizer's", fork_story(facts)),
        ("A collapse that is learning", collapse_story(facts)),
        ("A fault that the loss does not show", fault_story(facts)),
    ):
        console.print(Panel(_paragraphs(lines), title=title, title_align="left"))
    console.print(_requests(facts, url))
    checks = evaluate(facts)
    console.print(_table(checks))
    return 0 if all(check.met for check in checks) else 1


def fork_story(facts: DemoFacts) -> list[str]:
    """What the embedding's distribution did in the three modular-addition runs."""
    runs = (facts.true_labels, facts.shuffled_labels, facts.no_decay)
    splits = [run.split(EMBEDDING) for run in runs]
    seen = [
        _seen(run, alert, "the embedding stays in one mode.")
        for run, alert in zip(runs, splits, strict=True)
    ]
    as_told = [alert is not None for alert in splits] == [True, True, False]
    return [*seen, FORK_AS_TOLD if as_told else FORK_NOT_AS_TOLD]


def collapse_story(facts: DemoFacts) -> list[str]:
    """What the output layer's stable rank did, and when each network generalised."""
    lines = []
    for run in (facts.true_labels, facts.shuffled_labels, facts.no_decay):
        fall = run.fall_of_stable_rank(OUTPUT)
        lines += [_seen(run, fall, "no fall of the output layer's stable rank.")]
        lines += [_generalisation(run)]
    no_decay = facts.no_decay
    lines += _grave_sentences(no_decay)
    if no_decay.fall_of_stable_rank(OUTPUT) is not None and no_decay.grave_alerts:
        lines += [BLOW_UP_AS_TOLD]
    return lines


def fault_story(facts: DemoFacts) -> list[str]:
    """What the service said of the fault, and what the loss showed."""
    struck = (
        f"At step {FAULT_STEP} the matrices of block {FAULT_BLOCK} were multiplied by "
        f"{FAULT_FACTOR:g} in place; nobody told the monitor."
    )
    faulty, sound = facts.faulty_gpt, facts.sound_gpt
    return [
        struck,
        *_grave_sentences(faulty),
        *_grave_sentences(sound),
        _loss_around_the_fault(faulty, sound),
    ]


def _seen(run: RunFacts, alert: Json | None, otherwise: str) -> str:
    return f"{run.run.name}: {otherwise}" if alert is None else str(alert["sentence"])


def _generalisation(run: RunFacts) -> str:
    accuracy = run.record.accuracy
    if not accuracy:
        return f"{run.run.name}: test accuracy was not measured."
    step, last = run.record.generalised_step, accuracy[-1][1]
    passed = "never passes one half" if step is None else f"passes one half at step {step:,}"
    return f"{run.run.name}: test accuracy {passed}; at the end it is {last:.3f}."


def _grave_sentences(run: RunFacts) -> list[str]:
    alerts = run.grave_alerts
    if not alerts:
        return [f"{run.run.name}: no alert of warning or more."]
    return [f"[{alert['severity']}] {alert['sentence']}" for alert in alerts]


def _loss_around_the_fault(faulty: RunFacts, sound: RunFacts) -> str:
    (before, after), (sound_before, sound_after) = map(_loss_means, (faulty, sound))
    noise = np.std(faulty.record.losses[FAULT_STEP - 1 - STEPS_AFTER : FAULT_STEP - 1])
    return (
        f"The loss: {before:.3f} in the {STEPS_BEFORE} steps before, {after:.3f} in the "
        f"{STEPS_AFTER} from the fault on; in the sound run on the same batches {sound_before:.3f} "
        f"and {sound_after:.3f}. From step to step it varies by {noise:.2f} (standard deviation)."
    )


def _loss_means(run: RunFacts) -> tuple[float, float]:
    losses, index = run.record.losses, FAULT_STEP - 1
    before, after = losses[index - STEPS_BEFORE : index], losses[index : index + STEPS_AFTER]
    return float(np.mean(before)), float(np.mean(after))


def _paragraphs(lines: Sequence[str]) -> RenderableType:
    return Group(*(Text(f"- {line}") for line in lines))


def _requests(facts: DemoFacts, url: str) -> Group:
    true, faulty = facts.true_labels.run_id, facts.faulty_gpt.run_id
    embedding, last = facts.true_labels.tensor_ids[EMBEDDING], facts.true_labels.run.steps
    paths = (
        f"/api/v1/runs?project={PROJECT}",
        f"/api/v1/runs/{true}",
        f"/api/v1/alerts?run={true}",
        f"/api/v1/alerts?run={faulty}",
        f"/api/v1/runs/{true}/series?stat=dip_ratio&tensor={EMBEDDING}",
        f"/api/v1/runs/{true}/series?stat=stable_rank&tensor={OUTPUT}",
        f"/api/v1/runs/{faulty}/series?stat=std&tensor=blocks.{FAULT_BLOCK}.*.weight",
        f"/api/v1/runs/{true}/tensors/{embedding}/distribution?step={last}&unit=sigma",
        "/metrics",
    )
    calls = (Text(f"  curl -s '{url}{path}'", no_wrap=True, overflow="ignore") for path in paths)
    return Group(Text("All of this over REST:", style="bold"), *calls)


def _table(checks: Sequence[Check]) -> Table:
    table = Table(title="What had to hold", title_justify="left")
    for column in ("", "condition", "expected", "got"):
        table.add_column(column)
    for check in checks:
        mark = Text("met", style="green") if check.met else Text("NOT MET", style="bold red")
        table.add_row(mark, check.name, check.expected, check.got)
    return table
