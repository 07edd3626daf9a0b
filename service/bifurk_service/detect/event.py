"""An event: findings of one kind that belong together, told as one alert however it grows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bifurk_service.detect.agreement import POPULATION_STATISTICS, Rule, is_population
from bifurk_service.detect.finding import Finding
from bifurk_service.domain import Severity

_CRITICAL_KINDS = frozenset({"non_finite", "collapsed"})


@dataclass(slots=True, kw_only=True)
class Event:
    """Something that happened, as far as it is known.

    Attributes:
        fingerprint: the same as long as the event lives, and at every replay.
        variant: what sets events of one kind apart: a fall from a rise, for instance.
        statistic: the one to speak of. aspect, rule: of a regime shift's agreement.
        first_sequence, last_sequence: of the snapshots at which it was first seen and last grew.
        detected_step: step of the first.
        findings: of the tensors it names.
        followers: regime shifts of other tensors, or of another aspect, in its wake.
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

    @property
    def named(self) -> set[int]:
        """Places of the tensors it names."""
        return {finding.tensor for finding in self.findings}

    def severity(self, tensor_count: int) -> Severity:
        """Before the schedule is asked."""
        if self.kind in _CRITICAL_KINDS:
            return Severity.CRITICAL
        if self.kind == "frozen":
            return Severity.WARNING if self.variant == "stopped" else Severity.INFO
        if self.kind != "regime_shift":
            return Severity.INFO
        everything = [*self.findings, *self.followers]
        for statistic in POPULATION_STATISTICS:
            moved = (found.tensor for found in everything if found.statistic == statistic)
            if is_population(moved, of=tensor_count):
                return Severity.CRITICAL
        return Severity.WARNING

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
    if finding.kind == "turning_point":
        return str(finding.details["direction"])
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
