"""``silent``: no snapshot has come from an attempt for far longer than it usually takes."""

from __future__ import annotations

import hashlib
from typing import Final

from bifurk_service.domain import Alert, Mark, Severity

KIND: Final = "silent"
SILENT_INTERVALS: Final = 3.0
"""An attempt is silent after this many of its usual intervals between snapshots."""
LEAST_SILENCE_SECONDS: Final = 600.0
"""Never earlier than this: evaluations and checkpoints take their time."""


def silence_limit_seconds(
    usual_interval_seconds: float | None, *, least_seconds: float = LEAST_SILENCE_SECONDS
) -> float:
    """Seconds without a snapshot after which an attempt counts as silent.

    Args:
        usual_interval_seconds: median time between its snapshots; None before there are two.
        least_seconds: never earlier than this.

    Raises:
        ValueError: the interval is negative or NaN.
    """
    if usual_interval_seconds is None:
        return least_seconds
    if not usual_interval_seconds >= 0:
        raise ValueError(f"an interval is at least 0 seconds, got {usual_interval_seconds}")
    return max(SILENT_INTERVALS * usual_interval_seconds, least_seconds)


def is_silent(
    *,
    seconds_since_last: float,
    usual_interval_seconds: float | None,
    least_seconds: float = LEAST_SILENCE_SECONDS,
) -> bool:
    """Whether a running attempt has been quiet for longer than ``silence_limit_seconds``."""
    limit = silence_limit_seconds(usual_interval_seconds, least_seconds=least_seconds)
    return seconds_since_last > limit


def silent_alert(
    run: str,
    *,
    last_step: int,
    last_sequence: int,
    seconds_since_last: float,
    usual_interval_seconds: float | None,
    checkpoint: Mark | None = None,
) -> Alert:
    """The warning for an attempt that ``is_silent``; one for each last snapshot."""
    identity = f"{run}\n{KIND}\n{last_sequence}\n{last_step}"
    limit = silence_limit_seconds(usual_interval_seconds)
    text = f"{run}: no snapshot has come for {_duration(seconds_since_last)}"
    if usual_interval_seconds is not None:
        text += f"; one usually comes every {_duration(usual_interval_seconds)}"
    text += f". The last was at step {last_step:,}."
    if checkpoint is not None:
        path = checkpoint.details.get("path")
        text += f" Last checkpoint: step {checkpoint.step:,}{f', {path}' if path else ''}."
    return Alert(
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
        kind=KIND,
        severity=Severity.WARNING,
        statistic="",
        tensors=(),
        detected_step=last_step,
        detected_sequence=last_sequence,
        onset_first_step=last_step,
        onset_last_step=last_step,
        before=None,
        after=None,
        score=seconds_since_last / limit,
        sentence=text,
        checkpoint=checkpoint,
        evidence={
            "detector": KIND,
            "parameters": {
                "intervals": SILENT_INTERVALS,
                "least_silence_seconds": LEAST_SILENCE_SECONDS,
            },
            "seconds_since_last": seconds_since_last,
            "usual_interval_seconds": usual_interval_seconds,
        },
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
