"""What a benchmark shows: claims with value and target, as a table or as JSON lines."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One figure: what it is, what was measured, and what it should be, if anything."""

    claim: str
    value: float
    unit: str
    target: float | None = None
    better: str = "lower"

    @property
    def met(self) -> bool:
        """Whether the target is reached; a figure without one always is."""
        if self.target is None:
            return True
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


def options(description: str) -> argparse.Namespace:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON object a claim")
    parser.add_argument("--rounds", type=int, default=None, help="repetitions")
    return parser.parse_args()


def report(claims: list[Claim], *, as_json: bool) -> int:
    """Prints the claims; 0 when all are met."""
    if as_json:
        for claim in claims:
            print(json.dumps({**asdict(claim), "met": claim.met}))
    else:
        print(f"python {platform.python_version()}, {platform.machine()}, {platform.system()}")
        for claim in claims:
            target = "" if claim.target is None else _target(claim)
            print(f"{claim.claim:<72} {claim.value:>12.4g} {claim.unit:<12} {target}")
    sys.stdout.flush()
    return 0 if all(claim.met for claim in claims) else 1


def _target(claim: Claim) -> str:
    sign = "<=" if claim.better == "lower" else ">="
    return f"{sign} {claim.target:g} {'met' if claim.met else 'NOT MET'}"
