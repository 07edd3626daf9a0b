"""An alert in words that a tired person understands: what, where, since when, and what to do.

Order of detection is not order of onset, and an onset is not a cause: a sentence says when
things began as far as that is known, and calls nothing more than a probable cause.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bifurk_service.detect.schedule import LEARNING_RATE, is_raise
from bifurk_service.domain import AffectedTensor, Mark
from bifurk_service.stats.registry import BY_NAME

FEW: Final = 3
"""Up to this many tensors are named in the sentence; more are counted."""
LEAST_FOLLOWERS: Final = 3
"""Fewer that follow may have shifted for themselves and are left to the evidence."""

NOUNS: Final[dict[str, str]] = {
    "std": "the spread of the weights",
    "spectral_norm": "the largest singular value",
    "update_ratio": "weight updates",
    "excess_kurtosis": "the excess kurtosis",
    "gaussian_ks_distance": "the distance to a Gaussian",
    "cosine_to_first": "the cosine to the first snapshot",
    "stable_rank": "the stable rank",
    "effective_rank": "the effective rank",
}
"""What a sentence calls a statistic; others go by their own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that a sentence says.

    Attributes:
        variant: of kinds that have several; see ``event.variant_of``.
        tensors: those it names, by onset. tensor_count: of the whole model.
        onset_first_step, onset_last_step: of most of them.
        first: the layer or tensor that began before all others; "" where that is not resolved;
            None where there is but one.
        also: other statistics of the same tensors that shifted.
        followers: how many other tensors shifted in the wake.
    """

    run: str
    kind: str
    statistic: str
    tensors: tuple[AffectedTensor, ...]
    tensor_count: int
    onset_first_step: int
    onset_last_step: int
    detected_step: int
    variant: str = ""
    first: str | None = None
    also: tuple[str, ...] = ()
    followers: int = 0
    explained_by: tuple[Mark, ...] = ()
    checkpoint: Mark | None = None


def sentence(story: Story) -> str:
    """The whole text of an alert, one paragraph.

    Raises:
        KeyError: the story's kind is none of the detectors'.
    """
    parts = [
        f"{story.run}: {_WHAT[story.kind](story)}.",
        _when(story),
        _also(story.also),
        _followers(story.followers),
        *_schedule(story.explained_by),
        _checkpoint(story.checkpoint),
    ]
    return " ".join(part for part in parts if part)


def noun(statistic: str) -> str:
    """What a sentence calls a statistic."""
    return NOUNS.get(statistic, statistic)


def _regime_shift(story: Story) -> str:
    changes = [(t.before, t.after) for t in story.tensors if story.statistic in t.statistics]
    subject, where = noun(story.statistic), _where(story)
    definition = BY_NAME.get(story.statistic)
    if definition is not None and definition.log_scale:
        ratio = statistics.median(after / before for before, after in changes)
        word = "larger" if ratio >= 1 else "smaller"
        return f"{subject} became {_times(ratio)} {word} in {where}"
    before = statistics.median(before for before, _ in changes)
    after = statistics.median(after for _, after in changes)
    return f"{subject} went from {before:.2g} to {after:.2g} in {where}"


def _turning_point(story: Story) -> str:
    verb, extremum = ("fallen", "highest") if story.variant == "fall" else ("risen", "lowest")
    subject = noun(story.statistic)
    if len(story.tensors) > 1:
        return f"{subject} has {verb} from its {extremum} value in {_where(story)}"
    (tensor,) = story.tensors
    span = f"{tensor.before:.3g} to {tensor.after:.3g}"
    return f"{subject} of {tensor.tensor.name} has {verb} from its {extremum} value, {span}"


def _mode_split(story: Story) -> str:
    return f"the values went from one mode to several in {_where(story)}"


def _non_finite(story: Story) -> str:
    count = int(sum(tensor.after for tensor in story.tensors))
    return (
        f"{count:,} {'value is' if count == 1 else 'values are'} NaN or infinite in {_where(story)}"
    )


def _frozen(story: Story) -> str:
    moved = "stopped moving" if story.variant == "stopped" else "have not moved once"
    return f"the weights {moved} in {_where(story)} although the learning rate is above zero"


def _collapsed(story: Story) -> str:
    before = statistics.median(tensor.before for tensor in story.tensors)
    after = statistics.median(tensor.after for tensor in story.tensors)
    return f"the spread of the weights fell from {before:.2g} to {after:.2g} in {_where(story)}"


_WHAT: Final[dict[str, Callable[[Story], str]]] = {
    "regime_shift": _regime_shift,
    "turning_point": _turning_point,
    "mode_split": _mode_split,
    "non_finite": _non_finite,
    "frozen": _frozen,
    "collapsed": _collapsed,
}


def _where(story: Story) -> str:
    count, layers = len(story.tensors), _layers(story.tensors)
    if count <= FEW:
        return _listed([tensor.tensor.name for tensor in story.tensors])
    of = f"{count} of {story.tensor_count} tensors"
    if len(layers) == 1:
        return f"{of}, all of layer {layers[0]}"
    if 1 < len(layers) <= FEW:
        return f"{of}, of layers {_listed([str(layer) for layer in layers])}"
    return of


def _layers(tensors: Sequence[AffectedTensor]) -> list[int]:
    layers = {tensor.tensor.layer for tensor in tensors}
    return [] if None in layers else sorted(layer for layer in layers if layer is not None)


def _when(story: Story) -> str:
    first, last = story.onset_first_step, story.onset_last_step
    verb = "Turned" if story.kind == "turning_point" else "Began"
    since = f"between steps {first:,} and {last:,}" if first < last else f"by step {last:,}"
    return f"{verb} {since}, seen at {story.detected_step:,}{_order(story)}."


def _order(story: Story) -> str:
    if story.first is None:
        return ""
    if story.first:
        return f"; {story.first} was first"
    what = "layer" if _spans_layers(story.tensors) else "tensor"
    return f"; which {what} was first is not resolved"


def _spans_layers(tensors: Sequence[AffectedTensor]) -> bool:
    return len({tensor.tensor.layer for tensor in tensors}) > 1


def _also(statistics_: Sequence[str]) -> str:
    if not statistics_:
        return ""
    listed = _listed([noun(statistic) for statistic in statistics_])
    return f"{listed[0].upper()}{listed[1:]} shifted as well."


def _followers(count: int) -> str:
    return f"{count} other tensors shifted in its wake." if count >= LEAST_FOLLOWERS else ""


def _schedule(explained_by: Sequence[Mark]) -> list[str]:
    rates = [mark for mark in explained_by if mark.kind == LEARNING_RATE]
    others = [mark for mark in explained_by if mark.kind != LEARNING_RATE]
    return [
        *(_learning_rate(mark) for mark in rates),
        *(f"The run itself marked {mark.kind} at step {mark.step:,}." for mark in others),
    ]


def _learning_rate(mark: Mark) -> str:
    old, new, ratio = mark.details["from"], mark.details["to"], mark.details["ratio"]
    verb = "rose" if new > old else "fell"
    size = _times(ratio) if ratio else f"from {old:.2g} to {new:.2g}"
    verdict = "probable cause" if is_raise(mark) else "it may explain this"
    since = f"between steps {mark.details['since_step']:,} and {mark.step:,}"
    return f"The learning rate {verb} {size} {since}: {verdict}."


def _checkpoint(mark: Mark | None) -> str:
    if mark is None:
        return ""
    path = mark.details.get("path")
    return f"Last checkpoint before: step {mark.step:,}{f', {path}' if path else ''}."


def _times(ratio: float) -> str:
    factor = max(ratio, 1 / ratio)
    if factor < 1.095:
        return f"{100 * (factor - 1):.0f} %"
    return f"{factor:.2g}x" if factor < 10 else f"{factor:,.0f}x"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
