"""A detector held on a labelled stream: what it said that counts, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from detecting.scoring import Seen

from bifurk_service.detect.base import AnyWatch, Detection, PopulationWatch
from bifurk_service.detect.registry import OPTIONAL_WATCHES, WATCHES
from bifurk_service.detect.schedule import Schedule
from bifurk_service.detect.streams import Stream, is_explained

BY_KIND: dict[str, AnyWatch] = {watch.kind: watch for watch in (*WATCHES, *OPTIONAL_WATCHES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a detector said of a stream.

    Attributes:
        seen: detections that the run's own schedule does not account for.
        explained: how many it does account for, which are told as information only.
        seconds: for the whole stream.
    """

    seen: tuple[Seen, ...]
    explained: int
    seconds: float


def watched(kind: str, stream: Stream, **parameters: Any) -> Watched:
    """Runs a fresh detector of a kind over a stream, with its defaults or these parameters."""
    watch = BY_KIND[kind]
    chosen = {"parameters": watch.parameters(**parameters)} if parameters else {}  # type: ignore[misc]
    detector: Any = watch.make(stream.statistic, **chosen)
    schedule, seen, explained, seconds = Schedule(), [], 0, 0.0
    snapshot_at = {clock.step: index for index, clock in enumerate(stream.clocks)}
    for index, (clock, values, valid) in enumerate(stream):
        schedule.take(clock)
        started = time.process_time()
        if isinstance(watch, PopulationWatch):
            found = detector.update(clock, stream.tensors, values, valid)
        else:
            found = detector.update(clock, values, valid)
        seconds += time.process_time() - started
        for detection in found:
            if is_explained(stream, detection, schedule):
                explained += 1
            else:
                seen.append(_seen(detection, index, snapshot_at))
    return Watched(seen=tuple(seen), explained=explained, seconds=seconds)


def microseconds(watched: Watched, stream: Stream) -> float:
    """A series and snapshot."""
    return 1e6 * watched.seconds / stream.valid.size


def _seen(detection: Detection, index: int, snapshot_at: dict[int, int]) -> Seen:
    return Seen(
        series=detection.series,
        snapshot=index,
        score=detection.score,
        onset_first=snapshot_at.get(detection.onset_first_step),
        onset_last=snapshot_at.get(detection.onset_last_step),
    )
