"""An event: findings of one kind that belong together, told as one alert however it grows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from bifurk_service.detect.agreement import (
    POPULATION_STATISTICS,
    Rule,
    is_of_a_layer,
    is_population,
)
from bifurk_service.detect.finding import Finding
from bifurk_service.detect.onset import Interval, commonest_interval, interval_of
from bifurk_service.domain import Severity, TensorInfo

CRITICAL_KINDS: Final = frozenset({"non_finite", "collapsed"})
"""Critical from one tensor on, whatever else happens."""
WARNING_KINDS: Final = frozenset({"regime_shift", "layer_departure", "branch_split"})
SHARED_KINDS: Final = frozenset({"rank_collapse", "variance_burst"})
"""A warning where several tensors of one layer, or the whole model, show it: single matrices lose
half their stable rank, and single tensors move more unevenly, in sound runs too."""


@dataclass(slots=True, kw_only=True, eq=False)
class Event:
    """Something that happened, as far as it is known.

    Attributes:
        fingerprint: the same as long as the event lives, and at every replay.
        variant: what sets events of one kind apart: a fall from a rise, for instance.
        statistic: the one to speak of. aspect, rule: of what agreed, where that was needed.
        first_sequence, last_sequence: of the snapshots at which it was first seen and last grew.
        detected_step: step of the first.
        findings: of the tensors it names.
        followers: findings of its kind in other tensors, or of another aspect, in its wake.
        parent: fingerprint of the event that this one is a part of, or "".
    """

    fingerprint: str
    kind: str
    variant: str
    statistic: str
    aspect: str
    rule: str
    first_sequence: int
    last_sequence: int
    detected_step: int
    findings: list[Finding] = field(default_factory=list)
    followers: list[Finding] = field(default_factory=list)
    parent: str = ""

    @property
    def named(self) -> set[int]:
        """Places of the tensors it names."""
        return {finding.tensor for finding in self.findings}

    @property
    def follower_count(self) -> int:
        """How many tensors follow that it does not name."""
        return len({finding.tensor for finding in self.followers} - self.named)

    @property
    def spoken(self) -> list[Finding]:
        """Findings of the statistic to speak of."""
        return [finding for finding in self.findings if finding.statistic == self.statistic]

    @property
    def onset(self) -> Interval:
        """In which most of the tensors it names began."""
        # What joins later may have begun later; the event had begun when it was first seen.
        first = [one for one in self.findings if one.onset_last_step <= self.detected_step]
        by_tensor: dict[int, dict[str, Interval]] = defaultdict(dict)
        for finding in first or self.findings:
            by_tensor[finding.tensor].setdefault(finding.statistic, finding.onset)
        return commonest_interval(
            interval_of(intervals, self.statistic) for intervals in by_tensor.values()
        )

    def severity(self, tensors: Sequence[TensorInfo]) -> Severity:
        """Before the schedule is asked; ``tensors`` are all of the model."""
        if self.kind in CRITICAL_KINDS:
            return Severity.CRITICAL
        if self.kind == "frozen":
            return Severity.WARNING if self.variant == "stopped" else Severity.INFO
        whole_model = self.is_population(len(tensors))
        if self.kind == "regime_shift" and whole_model:
            return Severity.CRITICAL
        if self.kind in SHARED_KINDS:
            shared = whole_model or is_of_a_layer(self.findings, tensors)
            return Severity.WARNING if shared else Severity.INFO
        return Severity.WARNING if self.kind in WARNING_KINDS else Severity.INFO

    def is_population(self, tensor_count: int) -> bool:
        """Whether it is a matter of the whole model, its wake included."""
        everything = [*self.findings, *self.followers]
        return any(
            is_population(
                (found.tensor for found in everything if found.statistic == statistic),
                of=tensor_count,
            )
            for statistic in POPULATION_STATISTICS
        )

    def as_json(self) -> dict[str, Any]:
        """Every field, JSON-ready."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Event:
        """Reads back what ``as_json`` gave."""
        lists = {
            name: [Finding(**entry) for entry in document[name]]
            for name in ("findings", "followers")
        }
        return cls(**{**document, **lists})


def variant_of(finding: Finding) -> str:
    """What keeps this finding from merging with others of its kind."""
    if finding.kind in ("turning_point", "spectral_outlier"):
        return str(finding.details["direction"])
    if finding.kind == "shape_change":
        return f"from {finding.details['from']} to {finding.details['to']}"
    if finding.kind == "frozen":
        return "stopped" if finding.details["moved_before"] else "never moved"
    return ""


def begin(
    run: str,
    findings: Sequence[Finding],
    *,
    statistic: str,
    aspect: str = "",
    rule: Rule | None = None,
) -> Event:
    """A new event of these findings, all of one kind; the last one is the newest."""
    newest = findings[-1]
    variant = variant_of(newest)
    tensors = sorted({finding.tensor for finding in findings})
    identity = f"{run}\n{newest.kind}\n{variant}\n{statistic}\n{newest.sequence}\n{tensors}"
    return Event(
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
        kind=newest.kind,
        variant=variant,
        statistic=statistic,
        aspect=aspect,
        rule=rule.value if rule else "",
        first_sequence=newest.sequence,
        last_sequence=newest.sequence,
        detected_step=newest.step,
        findings=list(findings),
    )


def unseen(findings: Iterable[Finding], known: Iterable[Finding]) -> list[Finding]:
    """Those that are not among the known ones."""
    places = {_place(finding) for finding in known}
    return [finding for finding in findings if _place(finding) not in places]


def _place(finding: Finding) -> tuple[int, str, int]:
    return finding.tensor, finding.statistic, finding.sequence
