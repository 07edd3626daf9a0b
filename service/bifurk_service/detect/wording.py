"""What each kind of alert says happened, and where."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bifurk_service.detect.role_groups import name_pattern
from bifurk_service.detect.story import Story
from bifurk_service.detect.words import listed, noun, swing, times, where
from bifurk_service.domain import AffectedTensor

LEAST_MOVED: Final = 1.05
"""A branch whose layers changed by less stayed where it was."""


def _regime_shift(story: Story) -> str:
    subject, place = noun(story.statistic), _where(story)
    if story.log_scale:
        return f"{subject} became {_size(story)} in {place}"
    return f"{subject} went {_span(story)} in {place}"


def _layer_departure(story: Story) -> str:
    change = _size(story) if story.log_scale else _span(story)
    subject = noun(story.statistic)
    return f"{subject} left the course of the other layers, {change}, in {_where(story)}"


def _branch_split(story: Story) -> str:
    groups = _groups(story)
    first = next(iter(groups.values()))
    alike = [name for name, group in groups.items() if _members(group) == _members(first)]
    small, large = sorted((_of_branch(first, branch) for branch in (0, 1)), key=len)
    told = listed([str(tensor.tensor.layer) for tensor in small])
    text = (
        f"{noun(story.statistic)} of {listed(alike)} parted into two groups of layers: "
        f"{_parted(told, f'the other {len(large)}', small, large, log_scale=story.log_scale)}"
    )
    others = len(groups) - len(alike)
    return f"{text}; so did {others} other kinds of tensors, otherwise" if others else text


def _turning_point(story: Story) -> str:
    verb, extremum = ("fallen", "highest") if story.variant == "fall" else ("risen", "lowest")
    subject = f"{noun(story.statistic)} {{}}has {verb} from its {extremum} value"
    if len(story.tensors) > 1:
        return f"{subject.format('')} in {_where(story)}"
    (tensor,) = story.tensors
    span = f"{tensor.before:.3g} to {tensor.after:.3g}"
    return f"{subject.format(f'of {tensor.tensor.name} ')}, {span}"


def _mode_split(story: Story) -> str:
    return f"the values went from one mode to several in {_where(story)}"


def _path_fork(story: Story) -> str:
    return f"{noun(story.statistic)} went {_span(story)} in {_where(story)}: the paths fork"


def _shape_change(story: Story) -> str:
    change = story.variant.replace("_", " ")
    return f"the shape of the values went {change} in {_where(story)}"


def _spectral_outlier(story: Story) -> str:
    subject = "the number of singular values beyond the edge of the fitted bulk"
    return f"{subject} went {_span(story)} in {_where(story)}"


def _rank_collapse(story: Story) -> str:
    return f"{noun(story.statistic)} fell {_span(story)} in {_where(story)}"


def _variance_burst(story: Story) -> str:
    subject, verb = noun(story.statistic), swing(story.statistic)
    return f"{subject} {verb} {times(story.ratio)} as much as before in {_where(story)}"


def _one_bad_snapshot(story: Story) -> str:
    return f"{noun(story.statistic)} jumped at a single snapshot and came back in {_where(story)}"


def _critical_slowing(story: Story) -> str:
    return f"{noun(story.statistic)} fluctuates more, and more slowly, in {_where(story)}"


def _non_finite(story: Story) -> str:
    count = int(sum(tensor.after for tensor in story.tensors))
    return (
        f"{count:,} {'value is' if count == 1 else 'values are'} NaN or infinite in {_where(story)}"
    )


def _frozen(story: Story) -> str:
    moved = "stopped moving" if story.variant == "stopped" else "have not moved once"
    return f"the weights {moved} in {_where(story)} although the learning rate is above zero"


def _collapsed(story: Story) -> str:
    return f"the spread of the weights fell {_span(story)} in {_where(story)}"


WHAT: Final[Mapping[str, Callable[[Story], str]]] = {
    "regime_shift": _regime_shift,
    "layer_departure": _layer_departure,
    "branch_split": _branch_split,
    "turning_point": _turning_point,
    "mode_split": _mode_split,
    "path_fork": _path_fork,
    "shape_change": _shape_change,
    "spectral_outlier": _spectral_outlier,
    "rank_collapse": _rank_collapse,
    "variance_burst": _variance_burst,
    "one_bad_snapshot": _one_bad_snapshot,
    "critical_slowing": _critical_slowing,
    "non_finite": _non_finite,
    "frozen": _frozen,
    "collapsed": _collapsed,
}
"""By kind, the clause that says what happened and where."""


def _where(story: Story) -> str:
    return where(story.tensors, of=story.tensor_count)


def _sides(story: Story) -> tuple[list[float], list[float]]:
    return [one.before for one in story.spoken], [one.after for one in story.spoken]


def _span(story: Story) -> str:
    before, after = (statistics.median(values) for values in _sides(story))
    return f"from {before:.2g} to {after:.2g}"


def _size(story: Story) -> str:
    """How much larger or smaller, of a statistic that has a ratio."""
    ratio = statistics.median(one.after / one.before for one in story.spoken)
    return f"{times(ratio)} {'larger' if ratio >= 1 else 'smaller'}"


def _groups(story: Story) -> dict[str, list[AffectedTensor]]:
    """The tensors by what one model calls by one name in every layer, by depth."""
    groups: dict[str, list[AffectedTensor]] = defaultdict(list)
    for one in sorted(story.spoken, key=lambda one: one.tensor.layer or 0):
        name, layer = one.tensor.name, one.tensor.layer
        pattern = name if layer is None else name_pattern(name, layer)
        groups[pattern.rpartition("*.")[2].removesuffix(".weight")].append(one)
    return groups


def _members(group: Sequence[AffectedTensor]) -> dict[int | None, int | None]:
    return {one.tensor.layer: one.branch for one in group}


def _of_branch(group: Sequence[AffectedTensor], branch: int) -> list[AffectedTensor]:
    return [one for one in group if one.branch == branch]


def _parted(
    told: str,
    others: str,
    small: Sequence[AffectedTensor],
    large: Sequence[AffectedTensor],
    *,
    log_scale: bool,
) -> str:
    """What either branch did, the smaller first."""
    one, other = (_did(branch, log_scale=log_scale) for branch in (small, large))
    if not other:
        return f"{told} {one}, {others} did not"
    if not one:
        return f"{others} {other}, {told} did not"
    return f"{told} {one}, {others} {other}"


def _did(branch: Sequence[AffectedTensor], *, log_scale: bool) -> str:
    """What a branch did, "" where it stayed."""
    before = statistics.median(one.before for one in branch)
    after = statistics.median(one.after for one in branch)
    if not log_scale:
        return f"went from {before:.2g} to {after:.2g}"
    ratio = statistics.median(one.after / one.before for one in branch)
    if 1 / LEAST_MOVED < ratio < LEAST_MOVED:
        return ""
    return f"{'grew' if ratio > 1 else 'shrank'} {times(ratio)}"
