"""What a channel tells of an alert: its facts as they are when the message is made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from bifurk_service.domain import Severity

Status: TypeAlias = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One alert, ready to be told.

    Attributes:
        fingerprint: of the alert, within its attempt. status: what this message says of it.
        graver: whether it was told before with a slighter severity.
        tensors: names in the order of onset. starts_at, ends_at: seconds since 1970 UTC;
            ``ends_at`` is None of what is firing.
        url: where it can be looked at, "" where no public address is set.
    """

    project: str
    run: str
    attempt: str
    fingerprint: str
    kind: str
    severity: Severity
    status: Status
    sentence: str
    statistic: str
    onset_first_step: int
    onset_last_step: int
    detected_step: int
    tensors: tuple[str, ...]
    starts_at: float
    ends_at: float | None
    url: str = ""
    graver: bool = False
    superseded: bool = False

    @property
    def identity(self) -> str:
        """16 hex digits, the same in every message of the alert: receivers know repeats by it."""
        parts = "\n".join((self.project, self.run, self.attempt, self.fingerprint))
        return hashlib.sha256(parts.encode()).hexdigest()[:16]


def trial_notice(*, now: float, url: str) -> Notice:
    """What is sent to try a channel out."""
    return Notice(
        project="bifurk",
        run="test",
        attempt="test",
        fingerprint=f"{now:.0f}",
        kind="test",
        severity=Severity.INFO,
        status="firing",
        sentence="This is a test of the channel; no run is concerned.",
        statistic="",
        onset_first_step=0,
        onset_last_step=0,
        detected_step=0,
        tensors=(),
        starts_at=now,
        ends_at=None,
        url=url,
    )


def rfc3339(seconds: float) -> str:
    """A time (seconds since 1970 UTC) as JSON of this kind has it."""
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
