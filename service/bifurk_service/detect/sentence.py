"""An alert in words that a tired person understands: what, where, since when, and what to do.

Order of detection is not order of onset, and an onset is not a cause: a sentence says when
things began as far as that is known, and calls nothing more than a probable cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bifurk_service.detect.rates import DECAY_START, LEARNING_RATE, WARMUP_END, is_raise
from bifurk_service.detect.schedule import RESUME
from bifurk_service.detect.story import Story
from bifurk_service.detect.wording import WHAT
from bifurk_service.detect.words import listed, noun, times
from bifurk_service.domain import AffectedTensor, Mark

LEAST_FOLLOWERS: Final = 3
"""Fewer that follow may have shifted for themselves and are left to the evidence."""


def sentence(story: Story) -> str:
    """The whole text of an alert, one paragraph.

    Raises:
        KeyError: the story's kind is none of the detectors'.
    """
    parts = [
        f"{story.run}: {WHAT[story.kind](story)}.",
        _when(story),
        _also(story),
        _followers(story.followers),
        *_schedule(story.explained_by),
        checkpoint_text(story.checkpoint),
    ]
    return " ".join(part for part in parts if part)


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


def _also(story: Story) -> str:
    if not story.also:
        return ""
    names = listed([noun(statistic) for statistic in story.also])
    return f"{names[0].upper()}{names[1:]} {_ALSO.get(story.kind, 'shifted')} as well."


def _followers(count: int) -> str:
    return f"{count} other tensors shifted in its wake." if count >= LEAST_FOLLOWERS else ""


def _schedule(explained_by: Sequence[Mark]) -> list[str]:
    return [_OWN.get(mark.kind, _marked)(mark) for mark in explained_by]


def _learning_rate(mark: Mark) -> str:
    old, new, ratio = mark.details["from"], mark.details["to"], mark.details["ratio"]
    verb = "rose" if new > old else "fell"
    size = times(ratio) if ratio else f"from {old:.2g} to {new:.2g}"
    verdict = "probable cause" if is_raise(mark) else _MAY
    since = f"between steps {mark.details['since_step']:,} and {mark.step:,}"
    return f"The learning rate {verb} {size} {since}: {verdict}."


def _warmup_end(mark: Mark) -> str:
    rate = mark.details["to"]
    return f"The warm-up ended at a learning rate of {rate:.2g} by step {mark.step:,}: {_MAY}."


def _decay_start(mark: Mark) -> str:
    return f"The learning rate began to fall by step {mark.step:,}: {_MAY}."


def _setting(mark: Mark) -> str:
    what = {"batch_size": "The batch size", "amp_scale": "The loss scale"}[mark.kind]
    old, new = mark.details.get("from"), mark.details.get("to")
    if old is None or new is None:
        return _marked(mark)
    return f"{what} went from {_number(old)} to {_number(new)} at step {mark.step:,}: {_MAY}."


def _evaluation(mark: Mark) -> str:
    return f"The run was evaluated at step {mark.step:,}: {_MAY}."


def _resume(mark: Mark) -> str:
    return f"The run was resumed at step {mark.step:,}."


def _marked(mark: Mark) -> str:
    return f"The run itself marked {mark.kind} at step {mark.step:,}."


def _number(value: object) -> str:
    return f"{value:,g}" if isinstance(value, int | float) else str(value)


def checkpoint_text(mark: Mark | None) -> str:
    """What there is to go back to, as a sentence; "" without."""
    if mark is None:
        return ""
    path = mark.details.get("path")
    return f"Last checkpoint before: step {mark.step:,}{f', {path}' if path else ''}."


_ALSO: Final = {
    "branch_split": "parted",
    "layer_departure": "departed",
    "path_fork": "forked",
    "variance_burst": "burst",
    "one_bad_snapshot": "jumped",
}
"""What the other statistics of an alert did, by kind."""
_MAY: Final = "it may explain this"
_OWN: Final = {
    LEARNING_RATE: _learning_rate,
    WARMUP_END: _warmup_end,
    DECAY_START: _decay_start,
    "batch_size": _setting,
    "amp_scale": _setting,
    "evaluation": _evaluation,
    RESUME: _resume,
}
