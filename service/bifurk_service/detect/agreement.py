"""When single series agree: the rules that make detections an event worth a warning.

On sound runs a few series in a hundred leave their past at some time, each for itself. So one
series is no event; three that bear witness independently of one another are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bifurk_service.detect.finding import Finding
from bifurk_service.domain import TensorInfo
from bifurk_service.stats.registry import BY_NAME

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
MATERIAL_RATIO: Final = 1.2
"""One tensor's aspects agree only where a multiplicative statistic changed by this at least."""
LEAST_SHAPE_ELEMENTS: Final = 1_024
"""The shape of fewer values hangs on one or two of them: it bears no witness."""

ASPECTS: Final[dict[str, str]] = {
    "std": "size",
    "spectral_norm": "size",
    "update_ratio": "motion",
    "excess_kurtosis": "shape",
    "gaussian_ks_distance": "shape",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Findings that bear each other out.

    Attributes:
        aspect: what they speak of; of a single tensor, that of ``statistic``.
        statistic: the one to speak of.
    """

    rule: Rule
    aspect: str
    statistic: str
    findings: tuple[Finding, ...]


def agreements(findings: Sequence[Finding], tensors: Sequence[TensorInfo]) -> list[Agreement]:
    """Every agreement among regime shifts, the widest first.

    Tensors agree when they are seen to shift within a few snapshots. The aspects of one tensor
    need not: a noisy one is seen at a longer scale, later. They agree when they were seen, or
    most likely began, that close together.

    Args:
        findings: those of the last ``ASPECT_SNAPSHOTS`` snapshots, in order of detection.
        tensors: all of the model, in order.
    """
    witnesses = [finding for finding in findings if _bears_witness(finding, tensors)]
    if not witnesses:
        return []
    seen_now = [finding for finding in witnesses if is_near(finding, witnesses[-1].sequence)]
    return [
        *_of_population(seen_now, len(tensors)),
        *_of_layers(seen_now, tensors),
        *_of_tensors(witnesses),
    ]


def is_near(finding: Finding, sequence: int) -> bool:
    """Whether a finding was made within ``AGREEMENT_SNAPSHOTS`` up to this sequence."""
    return sequence - finding.sequence < AGREEMENT_SNAPSHOTS


def is_population(tensors: Iterable[int], *, of: int) -> bool:
    """Whether these tensors are many enough to speak for a model that has ``of``."""
    count = len(set(tensors))
    return count >= max(POPULATION_SHARE * of, WITNESSES)


def aspect_of(statistic: str) -> str:
    """What the statistic speaks of; a statistic outside the table is an aspect of its own."""
    return ASPECTS.get(statistic, statistic)


def log_ratio(finding: Finding) -> float:
    """Size of the change as a logarithm, at least 0; 0 where the statistic has no ratio."""
    definition = BY_NAME.get(finding.statistic)
    if definition is None or not definition.log_scale or min(finding.before, finding.after) <= 0:
        return 0.0
    return abs(math.log(finding.after / finding.before))


def _bears_witness(finding: Finding, tensors: Sequence[TensorInfo]) -> bool:
    elements = math.prod(tensors[finding.tensor].shape)
    return aspect_of(finding.statistic) != "shape" or elements >= LEAST_SHAPE_ELEMENTS


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
        _agreement(Rule.LAYER, group, _commonest([finding.statistic for finding in group]))
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
        _agreement(Rule.TENSOR, group, max(group, key=log_ratio).statistic)
        for group in groups.values()
        if len({aspect_of(finding.statistic) for finding in group}) >= WITNESSES
        and max(map(log_ratio, group)) >= math.log(MATERIAL_RATIO)
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


def _commonest(statistics: Sequence[str]) -> str:
    return max(dict.fromkeys(statistics), key=statistics.count)
