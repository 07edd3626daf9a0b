"""What must hold for the demo to have shown what it tells; each condition by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bifurk_service.demo.facts import DemoFacts, RunFacts
from bifurk_service.demo.runs import EMBEDDING, FAULT_BLOCK, FAULT_STEP, OUTPUT

SNAPSHOTS_TO_SEE_THE_FAULT: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition: what was expected, what came, and whether that is the same."""

    name: str
    expected: str
    got: str
    met: bool


def evaluate(facts: DemoFacts) -> tuple[Check, ...]:
    """Every condition of the demo, in the order of the story."""
    return (
        _judged(facts),
        _split(facts.true_labels, expected=True),
        _split(facts.shuffled_labels, expected=True),
        _split(facts.no_decay, expected=False),
        _fall_before_generalising(facts.true_labels),
        _no_fall(facts.shuffled_labels),
        _fault_seen_in_time(facts.faulty_gpt),
        _fault_named(facts.faulty_gpt),
        _sound(facts.sound_gpt),
    )


def _judged(facts: DemoFacts) -> Check:
    counts = [run.snapshots for run in facts.runs]
    total, judged = (sum(count[key] for count in counts) for key in ("total", "judged"))
    return Check(
        name="every snapshot judged",
        expected="all of every run",
        got=f"{judged:,} of {total:,}; {sum(run.dropped for run in facts.runs)} dropped by clients",
        met=all(count["judged"] == count["total"] > 0 for count in counts),
    )


def _split(run: RunFacts, *, expected: bool) -> Check:
    alert = run.split(EMBEDDING)
    return Check(
        name=f"fork of the embedding: {run.run.title}",
        expected="mode_split" if expected else "no mode_split",
        got="none" if alert is None else f"mode_split at step {alert['detected_step']:,}",
        met=(alert is not None) == expected,
    )


def _fall_before_generalising(run: RunFacts) -> Check:
    alert, generalised = run.fall_of_stable_rank(OUTPUT), run.record.generalised_step
    fall = "none" if alert is None else f"at step {alert['detected_step']:,}"
    half = "never" if generalised is None else f"at step {generalised:,}"
    return Check(
        name=f"fall of the output layer's stable rank: {run.run.title}",
        expected="turning_point before test accuracy passes one half",
        got=f"fall {fall}, one half {half}",
        met=alert is not None and generalised is not None and alert["detected_step"] < generalised,
    )


def _no_fall(run: RunFacts) -> Check:
    alert = run.fall_of_stable_rank(OUTPUT)
    return Check(
        name=f"fall of the output layer's stable rank: {run.run.title}",
        expected="none",
        got="none" if alert is None else f"turning_point at step {alert['detected_step']:,}",
        met=alert is None,
    )


def _fault_seen_in_time(run: RunFacts) -> Check:
    last_step = FAULT_STEP + SNAPSHOTS_TO_SEE_THE_FAULT * run.run.every
    steps = [int(alert["detected_step"]) for alert in run.grave_alerts]
    return Check(
        name="fault seen in time",
        expected=f"first warning or more at a step from {FAULT_STEP} to {last_step}",
        got=f"at step {steps[0]:,}" if steps else "never",
        met=bool(steps) and FAULT_STEP <= steps[0] <= last_step,
    )


def _fault_named(run: RunFacts) -> Check:
    entries = [entry for alert in run.grave_alerts for entry in alert["tensors"]]
    layers = {entry["layer"] for entry in entries}
    outside = sorted({entry["name"] for entry in entries if entry["layer"] != FAULT_BLOCK})
    shown = ", ".join(sorted(str(layer) for layer in layers)) or "none"
    return Check(
        name="fault's layer named, and no other",
        expected=f"layer {FAULT_BLOCK}",
        got=f"layer {shown}" + (f" ({', '.join(outside)})" if outside else ""),
        met=layers == {FAULT_BLOCK},
    )


def _sound(run: RunFacts) -> Check:
    alerts = run.grave_alerts
    return Check(
        name="sound run quiet",
        expected="no alert of warning or more",
        got="; ".join(str(alert["sentence"]) for alert in alerts) or "none",
        met=not alerts,
    )
