"""A comparison of two runs, or of two steps, in sentences for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from bifurk_service.api.comparison_shapes import (
    ComparedTensorAnswer,
    ComparisonAnswer,
    PartedAnswer,
    PartingAnswer,
    SideAnswer,
)
from bifurk_service.domain import steps_in_words

MOST_LAYERS: Final = 4
"""Named in one sentence; the rest are counted."""
CHANCE_FACTOR: Final = 2.0
"""Divergences up to so many times what two samples of one law show are not spoken of."""


def sentences(comparison: ComparisonAnswer) -> list[str]:
    """What there is to say, a sentence or two an item.

    What is compared; of two runs where they part and which layers; how far the distributions are
    from each other. Pure; ``comparison.sentences`` is not read.
    """
    this, other = _names(comparison.this, comparison.other)
    said = [_compared(comparison, this, other)]
    if comparison.parting is not None:
        said += _parting(comparison.parting, this, other)
        said += _thinned((comparison.this, this), (comparison.other, other))
    return [*said, _distances(comparison.tensors, other)]


def _names(this: SideAnswer, other: SideAnswer) -> tuple[str, str]:
    """Short and different: the step where the run is the same, the project where the name is."""
    if this.run_id == other.run_id:
        return _place(this, other), _place(other, this)
    if this.run != other.run:
        return this.run, other.run
    return f"{this.project}/{this.run}", f"{other.project}/{other.run}"


def _place(side: SideAnswer, other: SideAnswer) -> str:
    """A step of a run; of which attempt, where the other's is of another."""
    of = "" if side.attempt == other.attempt else f" of attempt {side.attempt}"
    return f"step {side.step}{of}"


def _compared(comparison: ComparisonAnswer, this: str, other: str) -> str:
    mine, theirs = comparison.this, comparison.other
    count = _count(len(comparison.tensors), "tensor")
    alone = "".join(
        f", {len(names)} more only in {name}"
        for names, name in ((comparison.only_this, this), (comparison.only_other, other))
        if names
    )
    if mine.run_id == theirs.run_id:
        return f"{mine.run}: {this} against {other}, {count}."
    return (
        f"{this} (step {mine.step}) against {other} (step {theirs.step}): "
        f"{count} of the same name{alone}."
    )


def _parting(parting: PartingAnswer, this: str, other: str) -> list[str]:
    if parting.first_step is None:
        return [f"{_no_step(parting)}, so where they part cannot be told."]
    span = _span(parting)
    if parting.first_difference is None and parting.first_difference_exact:
        return [f"They do not part: every compared statistic is the same ({span})."]
    if parting.first_difference is None:
        compared = "of most stretches the least and greatest values were compared"
        return [f"They do not part: no difference was found ({span}; {compared})."]
    if parting.tensors:
        return [_onset(parting, this, other, span), _which(parting)]
    if parting.matrices and not parting.exact:
        said = (
            "Whether they part is not told: too little was read, and what is condensed does not "
            f"tell ({span})."
        )
    elif parting.matrices:
        said = f"They do not part: no matrix stays apart by more than is usual ({span})."
    else:
        said = f"Where runs part is told of matrices, and none is compared ({span})."
    return [f"{said} {_difference(parting)} is at step {parting.first_difference}."]


def _no_step(parting: PartingAnswer) -> str:
    if parting.exact:
        return "They have no step in common"
    return "No step in common was found among the newest, and no more were looked at"


def _span(parting: PartingAnswer) -> str:
    steps = f"{parting.first_step} to {parting.last_step}"
    if parting.common_steps is None:
        return f"common steps {steps}"
    return f"{_count(parting.common_steps, 'common step')}, {steps}"


def _difference(parting: PartingAnswer) -> str:
    if parting.first_difference_exact:
        return "The first difference of any size"
    return "The first difference that was found, among extremes of stretches,"


def _thinned(*sides: tuple[SideAnswer, str]) -> list[str]:
    gone = [f"{steps_in_words(side.thinned)} of {name}" for side, name in sides if side.thinned]
    if not gone:
        return []
    return [f"Thinned are steps {' and '.join(gone)}: of them what was left whole is compared."]


def _onset(parting: PartingAnswer, this: str, other: str, span: str) -> str:
    lead = parting.tensors[0]
    if not parting.exact:
        when = (
            f"They are apart from step {lead.step} on, or from earlier: no more was read, and what "
            "is condensed does not tell"
        )
    elif parting.last_together is None:
        when = f"They are apart from their first common step on, {lead.step}"
    elif lead.step == parting.first_difference:
        equal = "are equal" if parting.first_difference_exact else "no difference was found"
        when = f"They part at step {lead.step} and {equal} until step {parting.last_together}"
    else:
        found = "differences" if parting.first_difference_exact else "differences found"
        when = (
            f"They part at step {lead.step}, after {found} within the usual "
            f"from step {parting.first_difference} on"
        )
    return f"{when} ({span}). There {_change(lead, this, other)}."


def _change(parted: PartedAnswer, this: str, other: str) -> str:
    said = (
        f"the {parted.statistic} of {parted.tensor.name} is {parted.this:.3g} in {this} and "
        f"{parted.other:.3g} in {other}"
    )
    if parted.ratio is None:
        return said
    if parted.ratio >= 1.0:
        return f"{said}, {parted.ratio:.3g} times as large"
    return f"{said}, {1 / parted.ratio:.3g} times smaller" if parted.ratio else said


def _which(parting: PartingAnswer) -> str:
    lead = parting.tensors[0].step
    first = [one for one in parting.tensors if one.step == lead]
    began = f"First to part: {len(first)} of {parting.matrices} matrices, {_layers(first)}"
    if len(first) == len(parting.tensors):
        return f"{began}. No other follows."
    return (
        f"{began}. By step {parting.last_step} there are {len(parting.tensors)}: "
        f"{_layers(parting.tensors)}."
    )


def _layers(parted: Sequence[PartedAnswer]) -> str:
    """Layers by how many of their tensors part."""
    counts = Counter(one.tensor.layer for one in parted).most_common()
    if len(counts) == 1:
        return _where(counts[0][0])
    named = ", ".join(f"{count} {_where(layer)}" for layer, count in counts[:MOST_LAYERS])
    rest = sum(count for _, count in counts[MOST_LAYERS:])
    return named + (f", {rest} elsewhere" if rest else "")


def _where(layer: int | None) -> str:
    return _layer(layer) if layer is None else f"in {_layer(layer)}"


def _layer(layer: int | None) -> str:
    return "outside of layers" if layer is None else f"layer {layer}"


def _distances(tensors: Sequence[ComparedTensorAnswer], other: str) -> str:
    known = [(one.ks, one) for one in tensors if one.ks is not None]
    if not known:
        return "No tensor has two distributions to compare."
    if not any(ks for ks, _ in known):
        return f"The distributions of {_count(len(known), 'tensor')} are the same."
    beyond = [(ks, one) for ks, one in known if _beyond_chance(one)]
    if not beyond:
        return "No tensor's distributions differ by more than two samples of one law would."
    known = beyond
    ks, largest = max(known, key=lambda pair: pair[0])
    shift = largest.wasserstein_1_sigma
    moved = f", a shift of {shift:.2g} standard deviations of {other}" if shift is not None else ""
    return (
        f"The distributions differ most in {largest.tensor.name} (KS {ks:.2g}{moved}); "
        f"largest KS by layer: {_by_layer(known)}."
    )


def _beyond_chance(compared: ComparedTensorAnswer) -> bool:
    """Small tensors differ by chance: their divergence counts only beyond what that would show."""
    chance = compared.js_by_chance
    return chance is None or (compared.js_divergence or 0.0) > CHANCE_FACTOR * chance


def _by_layer(known: Sequence[tuple[float, ComparedTensorAnswer]]) -> str:
    largest: dict[int | None, float] = {}
    for ks, one in known:
        largest[one.tensor.layer] = max(largest.get(one.tensor.layer, 0.0), ks)
    ordered = sorted(largest.items(), key=lambda item: -item[1])
    named = ", ".join(f"{_layer(layer)} {ks:.2g}" for layer, ks in ordered[:MOST_LAYERS])
    rest = len(ordered) - MOST_LAYERS
    return named + (f", {_count(rest, 'other layer')} less" if rest > 0 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
