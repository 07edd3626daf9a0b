"""Facts as the demo should find them; each test spoils what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bifurk_service.demo.facts import DemoFacts, RunFacts, TrainingRecord
from bifurk_service.demo.runs import (
    EMBEDDING,
    FAULTY_GPT,
    NO_DECAY,
    OUTPUT,
    SHUFFLED_LABELS,
    SOUND_GPT,
    TRUE_LABELS,
    DemoRun,
)

ALL_JUDGED = {"received": 0, "measured": 0, "judged": 20, "late": 0, "failed": 0, "total": 20}


def entry(name: str, **values: Any) -> dict[str, Any]:
    return {
        "name": name,
        "layer": None,
        "statistics": ["std"],
        "before": 1.0,
        "after": 2.0,
    } | values


def alert(kind: str, severity: str, step: int, *entries: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "severity": severity,
        "detected_step": step,
        "tensors": list(entries),
        "sentence": f"{kind} at {step}.",
    }


def split(step: int) -> dict[str, Any]:
    return alert("mode_split", "info", step, entry(EMBEDDING, statistics=["dip_ratio"]))


def fall(step: int, **values: Any) -> dict[str, Any]:
    falling = {"statistics": ["stable_rank"], "before": 30.0, "after": 28.0} | values
    return alert("turning_point", "info", step, entry(OUTPUT, **falling))


def shift(step: int, *layers: int | None) -> dict[str, Any]:
    entries = (entry(f"tensor-{layer}", layer=layer) for layer in layers)
    return alert("regime_shift", "warning", step, *entries)


def with_alerts(run: RunFacts, *alerts: dict[str, Any]) -> RunFacts:
    return replace(run, alerts=alerts)


def _run(run: DemoRun, *alerts: dict[str, Any], half_at: int | None = None) -> RunFacts:
    accuracy = ((10, 0.01), (1000, 0.5), (half_at or 1010, 0.6 if half_at else 0.02))
    losses = tuple(2.5 + 0.01 * (step % 2) for step in range(260))
    return RunFacts(
        run=run,
        run_id=7,
        tensor_ids={EMBEDDING: 1, OUTPUT: 4},
        record=TrainingRecord(losses=losses, accuracy=accuracy),
        alerts=alerts,
        snapshots=ALL_JUDGED,
        dropped=0,
    )


@pytest.fixture
def facts() -> DemoFacts:
    return DemoFacts(
        true_labels=_run(TRUE_LABELS, split(250), fall(660), half_at=1140),
        shuffled_labels=_run(SHUFFLED_LABELS, split(260)),
        no_decay=_run(NO_DECAY, fall(1270), shift(1300, None)),
        sound_gpt=_run(SOUND_GPT, alert("turning_point", "info", 90)),
        faulty_gpt=_run(FAULTY_GPT, shift(182, 2)),
    )
