"""Detections that a stream's own schedule accounts for: told as information, no false alarms."""

from __future__ import annotations

import math

from bifurk_service.detect.base import Detection
from bifurk_service.detect.schedule import Schedule
from bifurk_service.detect.streams.nulls import NOISE_OF_RATE
from bifurk_service.detect.streams.stream import Stream


def is_explained(stream: Stream, found: Detection, schedule: Schedule) -> bool:
    """As an alert would be lowered to information.

    Args:
        schedule: what has been taken of the stream's clocks up to the detection.
    """
    marks = schedule.explain(
        onset_first_step=found.onset_first_step, onset_last_step=found.onset_last_step
    )
    return schedule.accounts_for(marks, {stream.statistic.name: _response(stream, found)})


def _response(stream: Stream, found: Detection) -> float:
    """Size of the change as a logarithm."""
    if not stream.statistic.log_scale:
        # Synthetic series that follow a rate are its logarithm already, in units of their noise.
        return NOISE_OF_RATE * abs(found.after - found.before)
    return abs(math.log(found.after / found.before))
