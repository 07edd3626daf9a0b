"""``silent``: no snapshot has come from an attempt for far longer than it usually takes."""

from __future__ import annotations

from typing import Final

from bifurk_service.domain import Alert, Severity

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
    *, run: str, last_step: int | None, last_sequence: int | None, silent_seconds: float
) -> Alert:
    """What to tell of an attempt that has gone silent.

    Args:
        run: its name. last_step, last_sequence: of the last snapshot; None when none came.
        silent_seconds: since the server last heard of it.
    """
    since = "its start" if last_step is None else f"step {last_step}"
    minutes = round(silent_seconds / 60)
    return Alert(
        fingerprint=KIND,
        kind=KIND,
        severity=Severity.WARNING,
        statistic="",
        tensors=(),
        detected_step=last_step or 0,
        detected_sequence=last_sequence or 0,
        onset_first_step=last_step or 0,
        onset_last_step=last_step or 0,
        before=None,
        after=None,
        score=1.0,
        sentence=(
            f"{run}: nothing was heard since {since}, for {minutes} minutes. "
            "The process may have been killed, or cannot reach the server."
        ),
    )
