"""When single series agree: the rules that make detections an event worth a warning.

On sound runs a few series in a hundred leave their past at some time, each for itself. So one
series is no event; three that bear witness independently of one another are.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bifurk_service.detect.finding import Finding
from bifurk_service.domain import TensorInfo

WITNESSES: Final = 3
"""Tensors of a layer, aspects of a tensor, or at least tensors of a model, that must agree."""
AGREEMENT_SNAPSHOTS: Final = 6
"""Findings of that many neighbouring snapshots can bear each other out or be one event."""
ASPECT_SNAPSHOTS: Final = 24
"""How long a tensor's finding waits for its other aspects: the longest scale of a shift."""
POPULATION_SHARE: Final = 0.25
"""Share of a model's tensors that makes a shift a matter of the whole model."""
POPULATION_STATISTICS: Final = ("update_ratio", "std")
"""Statistics whose shift in a large share of the tensors is critical."""
MATERIAL_RATIO: Final = 1.5
"""One tensor's aspects agree only where a multiplicative statistic changed by this at least."""
LEAST_SHAPE_ELEMENTS: Final = 1_024
"""The shape of fewer values hangs on one or two of them: it bears no witness."""

ASPECTS: Final[dict[str, str]] = {
    "std": "size",
    "spectral_norm": "size",
    "update_ratio": "motion",
    "excess_kurtosis": "shape",
    "gaussian_ks_distance": "shape",
    "shape_class": "shape",
    "dip_ratio": "shape",
    "cosine_to_first": "direction",
    "stable_rank": "spectrum",
    "effective_rank": "spectrum",
}
"""What a statistic speaks of. Statistics of one aspect move together: they are one witness."""


class Rule(StrEnum):
    """What agreed with what; the first that holds is the one told."""

    POPULATION = "population"
    LAYER = "layer"
    TENSOR = "tensor"


RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "regime_shift": (Rule.POPULATION, Rule.LAYER, Rule.TENSOR),
    "layer_departure": (Rule.LAYER, Rule.TENSOR),
}
"""Of the kinds that need agreement, the rules that make one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Findings of one kind that bear each other out.

    Attributes:
        aspect: what they speak of; of a single tensor, that of ``statistic``.
        statistic: the one to speak of.
    """

    rule: Rule
    aspect: str
    statistic: str
    findings: tuple[Finding, ...]


def agreements(findings: Sequence[Finding], tensors: Sequence[TensorInfo]) -> list[Agreement]:
    """Every agreement among findings of one kind of ``RULES``, the widest first.

    Tensors agree when they are seen to shift within a few snapshots. The aspects of one tensor
    need not: a noisy one is seen at a longer scale, later. They agree when they were seen, or
    most likely began, that close together.

    Args:
        findings: those of the last ``ASPECT_SNAPSHOTS`` snapshots that bear witness, in order of
            detection.
        tensors: all of the model, in order.
    """
    if not findings:
        return []
    seen_now = [finding for finding in findings if is_near(finding, findings[-1].sequence)]
    by_rule = {
        Rule.POPULATION: lambda: _of_population(seen_now, len(tensors)),
        Rule.LAYER: lambda: _of_layers(seen_now, tensors),
        Rule.TENSOR: lambda: _of_tensors(findings),
    }
    return [found for rule in RULES[findings[-1].kind] for found in by_rule[rule]()]


def is_near(finding: Finding, sequence: int) -> bool:
    """Whether a finding was made within ``AGREEMENT_SNAPSHOTS`` up to this sequence."""
    return sequence - finding.sequence < AGREEMENT_SNAPSHOTS


def is_population(tensors: Iterable[int], *, of: int) -> bool:
    """Whether these tensors are many enough to speak for a model that has ``of``."""
    count = len(set(tensors))
    return count >= max(POPULATION_SHARE * of, WITNESSES)


def bears_witness(finding: Finding, tensors: Sequence[TensorInfo]) -> bool:
    """Whether a finding counts at all: the shape of a few values says nothing.

    Of an imported tensor the number of values is not known.
    """
    shape = tensors[finding.tensor].shape
    if aspect_of(finding.statistic) != "shape" or not shape:
        return True
    return math.prod(shape) >= LEAST_SHAPE_ELEMENTS


def is_of_a_layer(findings: Iterable[Finding], tensors: Sequence[TensorInfo]) -> bool:
    """Whether ``WITNESSES`` tensors of one layer are among those of the findings."""
    layers = Counter(tensors[place].layer for place in {finding.tensor for finding in findings})
    return any(count >= WITNESSES for layer, count in layers.items() if layer is not None)


def aspect_of(statistic: str) -> str:
    """What the statistic speaks of; a statistic outside the table is an aspect of its own."""
    return ASPECTS.get(statistic, statistic)


def _of_population(findings: Sequence[Finding], tensor_count: int) -> list[Agreement]:
    found = []
    for statistic in POPULATION_STATISTICS:
        chosen = tuple(finding for finding in findings if finding.statistic == statistic)
        if is_population((finding.tensor for finding in chosen), of=tensor_count):
            found.append(_agreement(Rule.POPULATION, chosen, statistic))
    return found


def _of_layers(findings: Sequence[Finding], tensors: Sequence[TensorInfo]) -> list[Agreement]:
    groups: dict[tuple[int, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        layer = tensors[finding.tensor].layer
        if layer is not None:
            groups[layer, aspect_of(finding.statistic)].append(finding)
    return [
        _agreement(Rule.LAYER, group, commonest([finding.statistic for finding in group]))
        for group in groups.values()
        if len({finding.tensor for finding in group}) >= WITNESSES
    ]


def _of_tensors(findings: Sequence[Finding]) -> list[Agreement]:
    newest = {finding.tensor: finding for finding in findings}
    groups: dict[int, list[Finding]] = defaultdict(list)
    for finding in findings:
        if _coincide(finding, newest[finding.tensor]):
            groups[finding.tensor].append(finding)
    return [
        _agreement(Rule.TENSOR, group, max(group, key=lambda one: one.log_ratio).statistic)
        for group in groups.values()
        if len({aspect_of(finding.statistic) for finding in group}) >= WITNESSES
        and max(finding.log_ratio for finding in group) >= math.log(MATERIAL_RATIO)
    ]


def _coincide(finding: Finding, newest: Finding) -> bool:
    began_together = abs(newest.onset_sequence - finding.onset_sequence) < AGREEMENT_SNAPSHOTS
    return is_near(finding, newest.sequence) or began_together


def _agreement(rule: Rule, findings: Sequence[Finding], statistic: str) -> Agreement:
    return Agreement(
        rule=rule,
        aspect=aspect_of(statistic),
        statistic=statistic,
        findings=tuple(findings),
    )


def commonest(statistics: Sequence[str]) -> str:
    """The statistic that most findings are of, the first of equals."""
    return max(dict.fromkeys(statistics), key=statistics.count)
