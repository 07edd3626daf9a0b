"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much it matters: well; worth knowing; keeps something from working."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check and what came of it.

    Attributes:
        found: what is so. advice: what to do about it; "" where nothing is to be done.
    """

    check: str
    severity: Severity
    found: str
    advice: str = ""


def fine(check: str, found: str) -> Finding:
    """It is well."""
    return Finding(check=check, severity=Severity.OK, found=found)


def warning(check: str, found: str, advice: str) -> Finding:
    """It works and may not for long, or not as meant."""
    return Finding(check=check, severity=Severity.WARNING, found=found, advice=advice)


def problem(check: str, found: str, advice: str) -> Finding:
    """Something does not work."""
    return Finding(check=check, severity=Severity.PROBLEM, found=found, advice=advice)
