"""What is left of a deadline, in seconds that every wait accepts."""

from __future__ import annotations

import threading
import time
from typing import Final

SENDING_SHARE: Final = 0.2
"""Of a close's deadline that encoding leaves over: a server that is well needs milliseconds, and
has to hear how the run ended whatever became of the last snapshots."""


def before_last_share(seconds: float) -> float:
    """Without the share that sending needs at the end."""
    return (1 - SENDING_SHARE) * seconds


def left(deadline: float) -> float:
    """From now until a time of the monotonic clock."""
    return bounded(deadline - time.monotonic())


def bounded(seconds: float) -> float:
    """What every wait accepts: "for ever" is the longest it can, and NaN does not wait."""
    return min(max(0.0, seconds), threading.TIMEOUT_MAX)
