"""The labelled streams are what their labels say."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bifurk_service.detect.judge import Judge
from bifurk_service.detect.registry import OPTIONAL_WATCHES, WATCHES
from bifurk_service.detect.schedule import Schedule
from bifurk_service.detect.streams import (
    EVENTS,
    MEASURED_NULLS,
    NULLS,
    ONSET,
    POPULATION_NULLS,
    RUN_EVENTS,
    RUN_NULLS,
    UNDECLARED,
    Generator,
    RunStream,
    Stream,
)
from bifurk_service.detect.streams.run import gpt

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/detectors/streams.md").read_text(encoding="utf-8")
HEALTHY = {**NULLS, **UNDECLARED, **POPULATION_NULLS, **MEASURED_NULLS}
ALL: Mapping[str, Generator] = {**HEALTHY, **{n: e.generate for n, e in EVENTS.items()}}
KINDS = {watch.kind for watch in (*WATCHES, *OPTIONAL_WATCHES)}
WATCHED = {name for watch in (*WATCHES, *OPTIONAL_WATCHES) for name in watch.statistics}


@cache
def _few(name: str) -> Stream:
    """Two series, or what a family has at least, that no test writes to."""
    return _drawn(name, series=2, length=50)


def _drawn(name: str, *, series: int = 24, length: int = 260, seed: int = 1) -> Stream:
    return ALL[name](np.random.default_rng(seed), series, length)


SEEDLESS = {
    "finite values",
    "shape changes",
    "noise matrices",
    "spike emerges",
    "spike emerges, larger matrix",
    "Gaussian shape",
    "non-finite",
}
"""Counts and classes, which are the same whatever was drawn."""


@pytest.mark.parametrize("name", ALL)
def test_a_family_has_the_shape_asked_for_and_the_same_values_for_the_same_seed(name: str) -> None:
    one, again = _few(name), _drawn(name, series=2, length=50)
    assert len(one.values) == len(one.valid) == len(list(one)) == 50
    assert one.values.shape == one.valid.shape
    assert one.values.shape[1] >= 2
    assert len(one.tensors) in (0, one.values.shape[1])
    assert np.isfinite(one.values[one.valid]).all()
    np.testing.assert_array_equal(one.values, again.values)
    if name not in SEEDLESS:
        other = _drawn(name, series=2, length=50, seed=2)
        assert not np.array_equal(one.values, other.values)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_family_names_no_onset(name: str) -> None:
    assert _few(name).onset is None


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_names_its_onset_and_kinds_that_exist(name: str) -> None:
    assert _few(name).onset is not None
    assert set(EVENTS[name].kinds) <= KINDS


@pytest.mark.parametrize(
    ("name", "size"), [("jump of 3", 3), ("jump of 5", 5), ("jump of -5", -5), ("jump of 8", 8)]
)
def test_a_jump_has_its_size_at_its_onset(name: str, size: float) -> None:
    stream = _drawn(name, series=400, length=240)
    at_once = stream.values[ONSET].mean() - stream.values[ONSET - 1].mean()
    assert at_once == pytest.approx(size, abs=0.3)
    assert stream.values[ONSET:].mean() == pytest.approx(size, abs=0.05)


def test_a_fold_falls_after_its_onset_and_rarely_before() -> None:
    stream = _drawn("fold", series=100)
    fallen = stream.values < 0
    assert fallen[: ONSET - stream.early].any(axis=0).mean() < 0.1
    assert fallen[-1].all()


@pytest.mark.parametrize("name", ["variance burst", "variance burst, AR(.5)"])
def test_a_burst_is_three_times_as_wide_at_the_same_level(name: str) -> None:
    stream = _drawn(name, series=100)
    before, after = stream.values[:ONSET], stream.values[ONSET:]
    assert after.std() / before.std() == pytest.approx(3, rel=0.05)
    assert after.mean() == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize(
    ("name", "branch", "layers"),
    [
        ("fork of 4 of 12", 4, 12),
        ("fork of 6 of 12", 6, 12),
        ("fork of 6 of 48", 6, 48),
        ("one layer leaves", 1, 12),
    ],
)
def test_the_layers_concerned_grow_by_a_third_and_no_others(
    name: str, branch: int, layers: int
) -> None:
    stream = _drawn(name, series=layers * 4)
    assert stream.concerned is not None
    assert stream.concerned.reshape(-1, layers).sum(axis=1).tolist() == [branch] * 4
    grown = np.log(stream.values[ONSET + 23] / stream.values[ONSET - 1])
    apart = grown[stream.concerned].mean() - grown[~stream.concerned].mean()
    assert apart == pytest.approx(np.log(1.3), abs=0.03)


def test_a_pitchfork_goes_both_ways_after_its_onset() -> None:
    stream = _drawn("pitchfork of layers", series=120, length=340)
    logs = np.log(stream.values).reshape(340, -1, 12)
    spread = logs.std(axis=2).mean(axis=1)
    assert spread[:ONSET].max() < 0.05 < spread[-1]


def test_modes_part_at_the_snapshot_at_which_the_density_has_two() -> None:
    stream = _drawn("modes part", series=3, length=60)
    assert stream.onset is not None
    assert (stream.values[: stream.onset - 4] < 1).all()
    assert (stream.values[-1] > 1).all()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("dying weights", (0.0, 0.1), (0.4, 0.7)), ("spread collapses", (0.1, 9), (0, 1e-5)),
     ("stopped", (0, 0.95), (1, 1)), ("non-finite", (0, 0), (1, 1e6))],
)  # fmt: skip
def test_a_course_changes_from_one_range_to_another(
    name: str, before: tuple[float, float], after: tuple[float, float]
) -> None:
    stream = _drawn(name, series=4)
    for part, (low, high) in ((stream.values[:ONSET], before), (stream.values[-1], after)):
        assert ((part >= low) & (part <= high)).all()


def test_tails_and_classes_change_after_their_onset() -> None:
    tails = _drawn("tails grow", series=3, length=70)
    assert tails.onset is not None
    assert np.abs(tails.values[: tails.onset]).max() < 0.5
    assert tails.values[-1].min() > 1.5
    classes = _drawn("shape changes", series=3, length=60)
    assert classes.onset is not None
    first = classes.values[: classes.onset]
    assert (first == first[0]).mean() > 0.95
    assert (classes.values[-1] != first[0]).all()


def test_a_spike_is_seen_in_spectra_after_its_onset_only() -> None:
    stream = _drawn("spike emerges, larger matrix", series=1, length=60)
    assert stream.onset is not None
    assert np.nanmax(stream.values[: stream.onset]) == 0
    assert np.nanmin(stream.values[stream.onset :]) == 1


@pytest.mark.parametrize("name", ["learning-rate step", "warm-up", "cosine"])
def test_what_follows_the_learning_rate_does_so_on_the_clock(name: str) -> None:
    stream = _drawn(name, series=200)
    rates = np.log([clock.learning_rates[0] for clock in stream.clocks])
    level = stream.values.mean(axis=1) * 0.1
    np.testing.assert_allclose(level - level[-1], rates - rates[-1], atol=0.05)


def test_a_cadence_change_is_marked_and_a_rate_step_explained() -> None:
    clocks = _drawn("cadence change", series=1).clocks
    (marked,) = [index for index, clock in enumerate(clocks) if clock.marks]
    assert marked == ONSET
    assert clocks[marked].step - clocks[marked - 1].step == 20
    schedule = Schedule()
    for clock in _drawn("learning-rate step", series=1).clocks:
        schedule.take(clock)
    assert schedule.explain(onset_first_step=2000, onset_last_step=2010)


@pytest.mark.parametrize("name", RUN_NULLS)
def test_a_sound_run_has_every_watched_statistic_and_no_event(name: str) -> None:
    run = RUN_NULLS[name](np.random.default_rng(1), length=60)
    assert set(run.values) >= WATCHED
    assert run.event is None
    assert len(run.times) == 60
    assert {series.shape for series in run.values.values()} == {(60, len(run.tensors))}
    assert {layer for tensor in run.tensors if (layer := tensor.layer) is not None} == {*range(12)}


@pytest.mark.parametrize("name", RUN_EVENTS)
def test_an_event_moves_the_tensors_it_names_and_no_others(name: str) -> None:
    run = RUN_EVENTS[name](np.random.default_rng(3))
    sound = RUN_EVENTS["non-finite"](np.random.default_rng(3))
    assert run.event is not None
    assert len(run.event.tensors) >= 3
    assert run.event.kinds <= KINDS
    assert run.event.onset == sound.event.onset if sound.event else False
    moved = _moved(run, sound)
    assert set(np.flatnonzero(moved.any(axis=0))) == set(run.event.tensors)
    assert int(np.flatnonzero(moved.any(axis=1))[0]) == run.event.onset


def _moved(run: RunStream, sound: RunStream) -> np.ndarray:
    """Where two runs of one seed differ, bool [length, T]."""
    if run.values["nonfinite_count"].any():
        return run.values["nonfinite_count"] > 0
    names = [name for name in run.values if name != "nonfinite_count"]
    return np.any(
        [
            ~np.isclose(run.values[name], sound.values[name], rtol=1e-9, atol=0, equal_nan=True)
            for name in names
        ],
        axis=0,
    )


def test_runs_that_are_judged_together_get_the_alerts_of_each_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [str(PROJECT / "benchmarks"), *sys.path])
    from detecting.judging import judged

    # Every kind of detector, on two statistics each: none knows of another statistic's.
    watches = [replace(watch, statistics=watch.statistics[:2]) for watch in WATCHES]
    names = ("layers fork", "non-finite")
    runs = [
        _without_the_first(75, RUN_EVENTS[name](np.random.default_rng(104), length=140))
        for name in names
    ]
    for run, together in zip(runs, judged(runs, watches=watches), strict=True):
        judge = Judge("run", watches=watches)
        alone = {}
        for clock, values, valid in run:
            verdict = judge.update(clock, run.tensors, values, valid)
            alone |= {alert.fingerprint: alert for alert in verdict.alerts}
        assert alone
        assert together == alone


def _without_the_first(count: int, run: RunStream) -> RunStream:
    """A run that is soon judged: its event comes a hundred snapshots after its first."""
    return replace(
        run,
        times=run.times[:-count],
        values={name: values[count:] for name, values in run.values.items()},
        valid={name: valid[count:] for name, valid in run.valid.items()},
    )


def test_a_model_of_any_depth_can_be_asked_for() -> None:
    assert len(gpt(layers=3)) == 2 + 3 * 5


@pytest.mark.parametrize("name", [*ALL, *RUN_NULLS, *RUN_EVENTS])
def test_the_page_lists_every_family(name: str) -> None:
    assert re.search(rf"^\| {re.escape(name)} \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", EVENTS)
def test_the_page_says_what_an_event_is_and_who_should_see_it(name: str) -> None:
    event = EVENTS[name]
    kinds = ", ".join(f"`{kind}`" for kind in event.kinds)
    assert f"| {name} | {event.meaning} | {kinds} |" in PAGE
