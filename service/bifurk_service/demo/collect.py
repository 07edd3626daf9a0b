"""Waits until the service has judged the demo's runs, then gathers what it says, over REST."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from bifurk_service.demo.api import Api
from bifurk_service.demo.courses import DensityCourse, SpreadMap, density_course, spread_map
from bifurk_service.demo.facts import DemoFacts, RunFacts, TrainingRecord
from bifurk_service.demo.runs import (
    EMBEDDING,
    FAULTY_GPT,
    NO_DECAY,
    PROJECT,
    RUNS,
    SHUFFLED_LABELS,
    SOUND_GPT,
    TRUE_LABELS,
    DemoRun,
)

STALLED_SECONDS: Final = 60.0
"""A service that judges nothing for this long will not get through; a slow machine still does."""
DENSITIES_A_PICTURE: Final = 100
"""More could not be told apart in a panel this wide."""
_POLL_SECONDS: Final = 0.5


class NotJudgedError(RuntimeError):
    """The service stopped getting through the snapshots; the message says how far it came."""


def wait_until_judged(api: Api, runs: Sequence[DemoRun] = RUNS) -> None:
    """Returns when every stored snapshot of these runs is judged, or will never be.

    Raises:
        NotJudgedError: no snapshot got further for ``STALLED_SECONDS``.
    """
    for run in runs:
        run_id = api.run_id(PROJECT, run.name)
        counts: Mapping[str, int] = {}
        while not _settled(latest := api.run(run_id)["snapshots"]):
            if latest != counts:
                counts, deadline = latest, time.monotonic() + STALLED_SECONDS
            if time.monotonic() > deadline:
                raise NotJudgedError(f"{run.name}: stalled for {STALLED_SECONDS:.0f} s at {counts}")
            time.sleep(_POLL_SECONDS)


def collect(api: Api, records: Mapping[str, TrainingRecord]) -> DemoFacts:
    """All facts of the five runs.

    Args:
        api: of a server that has judged them.
        records: what each training told, by the run's name.
    """

    def of(run: DemoRun) -> RunFacts:
        run_id = api.run_id(PROJECT, run.name)
        detail = api.run(run_id)
        return RunFacts(
            run=run,
            run_id=run_id,
            tensor_ids=api.tensor_ids(run_id),
            record=records[run.name],
            alerts=api.alerts(run_id),
            snapshots=detail["snapshots"],
            dropped=sum(sum(attempt["dropped"].values()) for attempt in detail["attempts"]),
        )

    return DemoFacts(
        true_labels=of(TRUE_LABELS),
        shuffled_labels=of(SHUFFLED_LABELS),
        no_decay=of(NO_DECAY),
        sound_gpt=of(SOUND_GPT),
        faulty_gpt=of(FAULTY_GPT),
    )


def embedding_course(api: Api, run_id: int) -> DensityCourse:
    """The embedding's density at evenly chosen snapshots of one modular-addition run."""
    tensor_id = api.tensor_ids(run_id)[EMBEDDING]
    (series,) = api.series(run_id, stat="std", tensor=EMBEDDING)
    count = min(DENSITIES_A_PICTURE, len(series.steps))
    chosen = series.steps[np.linspace(0, len(series.steps) - 1, count).round().astype(int)]
    return density_course([api.distribution(run_id, tensor_id, step=int(step)) for step in chosen])


def matrix_spread(api: Api, run_id: int) -> SpreadMap:
    """The spread of every matrix of a GPT run, in the order of the model."""
    series = api.series(run_id, stat="std", tensor="*.weight")
    return spread_map([one for one in series if "norm" not in one.tensor])


def _settled(counts: Mapping[str, int]) -> bool:
    return counts["judged"] + counts["late"] + counts["failed"] == counts["total"] > 0
