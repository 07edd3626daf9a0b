"""Runs in which something happens, in at least three tensors or statistics.

What an event does to one statistic it does to the others as real weights would have it: values
that die out lower the spread and thicken the tails, a matrix multiplied by three moves relatively
less. Who is concerned, and when it begins, is drawn by lot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.streams.run import (
    LAYERS,
    Courses,
    Healthy,
    RunEvent,
    RunGenerator,
    RunStream,
    healthy,
    run_of,
)
from bifurk_service.detect.streams.stream import clocks, ramp
from bifurk_service.domain import TensorInfo
from bifurk_service.stats.rows.elements import SHAPE_CLASSES

RUN_LENGTH: Final = 200
EARLIEST_ONSET: Final = 100
LATEST_ONSET: Final = 140
SHIFTS: Final = ("regime_shift", "layer_departure", "branch_split")
"""Kinds that all tell a change of size or motion rightly, in some tensors."""

Chosen: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A sound run that something is about to be done to."""

    random: np.random.Generator
    tensors: tuple[TensorInfo, ...]
    courses: Courses
    onset: int

    def layers(self, count: int) -> set[int]:
        """So many layers, drawn by lot."""
        return {int(layer) for layer in self.random.permutation(LAYERS)[:count]}

    def of_layers(self, layers: Iterable[int], *, matrices: bool = False) -> Chosen:
        """Their tensors, or their matrices, bool [T]."""
        wanted = set(layers)
        return np.array(
            [
                tensor.layer in wanted and (len(tensor.shape) > 1 or not matrices)
                for tensor in self.tensors
            ]
        )

    def add(self, name: str, change: float, chosen: Chosen, *, within: int = 1) -> None:
        """Moves a statistic, on its detectors' scale, evenly within so many snapshots."""
        length = len(self.courses[name])
        moved = change * ramp(length, onset=self.onset, snapshots=within)
        self.courses[name] = self.courses[name] + moved[:, None] * chosen

    def widen(self, name: str, factor: float, chosen: Chosen) -> None:
        """Multiplies a returning statistic's noise around its level before the onset."""
        course = self.courses[name]
        level = course[: self.onset].mean(axis=0)
        after = np.where(chosen, level + factor * (course - level), course)
        late = (np.arange(len(course)) >= self.onset)[:, None]
        self.courses[name] = np.where(late, after, course)

    def hasten(self, name: str, factor: float) -> None:
        """Multiplies a walk's increments from the onset on, in all tensors."""
        moves = np.diff(self.courses[name], axis=0, prepend=self.courses[name][:1])
        moves[self.onset :] *= factor
        self.courses[name] = self.courses[name][:1] + np.cumsum(moves, axis=0)


Act: TypeAlias = Callable[[Scene], Chosen]
"""Does something to a scene; returns the tensors concerned."""


def _layer_times_three(scene: Scene) -> Chosen:
    chosen = scene.of_layers(scene.layers(1), matrices=True)
    for name in ("std", "spectral_norm"):
        scene.add(name, np.log(3), chosen)
    scene.add("update_ratio", -np.log(3), chosen)
    return chosen


def _raised_rate(scene: Scene) -> Chosen:
    everyone = np.ones(len(scene.tensors), dtype=np.bool_)
    scene.add("update_ratio", np.log(3), everyone)
    for name in ("std", "spectral_norm", "excess_kurtosis", "cosine_to_first", "stable_rank"):
        scene.hasten(name, 3.0)
    return everyone


def _all_grow(scene: Scene) -> Chosen:
    everyone = np.ones(len(scene.tensors), dtype=np.bool_)
    for name in ("std", "spectral_norm"):
        scene.add(name, np.log(1.1), everyone, within=12)
    return everyone


def _fork(scene: Scene) -> Chosen:
    chosen = scene.of_layers(scene.layers(4))
    for name in ("std", "spectral_norm"):
        scene.add(name, np.log(1.15), chosen, within=24)
    return chosen


def _layer_leaves(scene: Scene) -> Chosen:
    chosen = scene.of_layers(scene.layers(1))
    for name in ("std", "spectral_norm"):
        scene.add(name, np.log(1.15), chosen, within=24)
    scene.add("update_ratio", np.log(1.3), chosen, within=24)
    return chosen


def _small_step_of_a_layer(scene: Scene) -> Chosen:
    chosen = scene.of_layers(scene.layers(1))
    scene.add("update_ratio", 0.5, chosen)
    return chosen


def _dying_weights(scene: Scene) -> Chosen:
    """Half of the values decay to nothing within 20 snapshots."""
    chosen = scene.of_layers(scene.layers(3), matrices=True)
    scene.add("dying_share", 0.45, chosen, within=20)
    scene.add("std", np.log(0.5) / 2, chosen, within=20)
    scene.add("spectral_norm", np.log(0.5) / 2, chosen, within=20)
    scene.add("excess_kurtosis", 3.0, chosen, within=20)
    scene.add("gaussian_ks_distance", 0.1, chosen, within=20)
    return chosen


def _rank_collapse(scene: Scene) -> Chosen:
    chosen = scene.of_layers(scene.layers(2), matrices=True)
    scene.add("stable_rank", np.log(0.4), chosen, within=8)
    scene.add("effective_rank", np.log(0.7), chosen, within=8)
    scene.add("spectral_norm", -0.5 * np.log(0.4), chosen, within=8)
    return chosen


def _variance_burst(scene: Scene) -> Chosen:
    chosen = scene.of_layers(scene.layers(4))
    scene.widen("update_ratio", 3.0, chosen)
    return chosen


def _tails_grow(scene: Scene) -> Chosen:
    chosen = scene.of_layers(scene.layers(2), matrices=True)
    scene.add("excess_kurtosis", 3.0, chosen, within=12)
    scene.add("gaussian_ks_distance", 0.04, chosen, within=12)
    scene.add("std", np.log(1.15), chosen, within=12)
    scene.add("spectral_norm", np.log(1.3), chosen, within=12)
    _class_from(scene, "laplace_like", chosen, after=6)
    return chosen


def _modes_part(scene: Scene) -> Chosen:
    chosen = scene.of_layers(scene.layers(2), matrices=True)
    scene.add("dip_ratio", 2.0, chosen, within=8)
    scene.add("excess_kurtosis", -1.0, chosen, within=12)
    scene.add("gaussian_ks_distance", 0.06, chosen, within=12)
    scene.add("std", np.log(1.25), chosen, within=12)
    _class_from(scene, "multimodal", chosen, after=4)
    return chosen


def _non_finite(scene: Scene) -> Chosen:
    chosen = scene.of_layers(scene.layers(1), matrices=True)
    scene.add("nonfinite_count", 7.0, chosen)
    return chosen


def _class_from(scene: Scene, name: str, chosen: Chosen, *, after: int) -> None:
    late = np.arange(len(scene.courses["shape_class"]))[:, None] >= scene.onset + after
    place = float(SHAPE_CLASSES.index(name))
    scene.courses["shape_class"] = np.where(late & chosen, place, scene.courses["shape_class"])


def _run_with(act: Act, *kinds: str) -> RunGenerator:
    def generate(random: np.random.Generator, *, length: int = RUN_LENGTH) -> RunStream:
        run = Healthy(times=clocks(length))
        courses = healthy(random, run)
        onset = int(random.integers(EARLIEST_ONSET, LATEST_ONSET))
        scene = Scene(random=random, tensors=run.tensors, courses=courses, onset=onset)
        chosen = act(scene)
        places = frozenset(int(place) for place in np.flatnonzero(chosen))
        event = RunEvent(onset=onset, tensors=places, kinds=frozenset(kinds))
        return run_of(run, scene.courses, event=event)

    return generate


RUN_EVENTS: Final[dict[str, RunGenerator]] = {
    "one layer times three": _run_with(_layer_times_three, *SHIFTS),
    "learning rate raised, unannounced": _run_with(_raised_rate, *SHIFTS),
    "all tensors grow": _run_with(_all_grow, *SHIFTS),
    "layers fork": _run_with(_fork, *SHIFTS),
    "one layer leaves": _run_with(_layer_leaves, *SHIFTS),
    "one layer moves faster": _run_with(_small_step_of_a_layer, *SHIFTS),
    "dying weights": _run_with(_dying_weights, *SHIFTS, "path_fork"),
    "ranks collapse": _run_with(_rank_collapse, *SHIFTS, "rank_collapse"),
    "motion bursts": _run_with(_variance_burst, *SHIFTS, "variance_burst"),
    "tails grow": _run_with(_tails_grow, *SHIFTS, "shape_change"),
    "modes part": _run_with(_modes_part, *SHIFTS, "mode_split", "shape_change"),
    "non-finite": _run_with(_non_finite, "non_finite"),
}
"""Runs with an event by name; ``RunStream.event`` says what the truth is."""
