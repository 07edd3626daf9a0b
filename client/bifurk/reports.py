"""The reports on one attempt: how it stands, what was lost, and at the end what is left to say."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from bifurk.lineage import Life
from bifurk.losses import LossLedger
from bifurk.recorder import Recorder
from bifurk.scalars import Interval
from bifurk.taken import Reached
from bifurk.transport import Request
from bifurk.wire import (
    AttemptReport,
    LossReport,
    Mark,
    ScalarSummary,
    WireLimits,
    content_digest,
    encode_attempt,
)
from bifurk.wire.attempt import State


class Reports:
    """Writes the requests that tell how an attempt stands.

    Args:
        life: whose attempt. recorder: how far it is. ledger: what was lost.
    """

    def __init__(self, *, life: Life, recorder: Recorder, ledger: LossLedger) -> None:
        self._life = life
        self._recorder = recorder
        self._ledger = ledger
        self._state: State = "running"
        self._scalars: Mapping[str, ScalarSummary] = {}
        self._reached: Reached | None = None
        self._told: LossReport | None = None

    def end(self, state: State, reached: Reached | None = None) -> None:
        """From now on every report says so; the first word stays.

        Args:
            reached: where it ended, if the recorder is elsewhere by now.
        """
        if self._state == "running":
            self._state, self._reached = state, reached

    @property
    def step(self) -> int:
        """The attempt's last step so far."""
        return self._recorder.step if self._reached is None else self._reached.step

    @property
    def state(self) -> State:
        """What reports say now."""
        return self._state

    def take_last_scalars(self) -> Interval:
        """What was logged since the last snapshot, yet to be read."""
        reached = self._reached
        return self._recorder.scalars.take() if reached is None else reached.scalars

    def read_last_scalars(self, left: Interval) -> Mapping[str, ScalarSummary]:
        """Reads and returns what was taken; waits for the device it lies on."""
        read = left.summaries()
        self._scalars = {**self._scalars, **read}
        return read

    def request(self, *, kept: bool = True) -> Request:
        """The report of this moment.

        Args:
            kept: whether it is sent until it arrives; of what may get lost all is owed still.
        """
        losses = self._ledger.report(first=self._life.first)
        if kept:
            self._told = losses
        body = _encode(self._report(losses))
        return Request(
            method="PUT",
            path=self._life.identity.attempt_path,
            headers={
                "Content-Type": "application/json",
                "Content-Digest": content_digest(body),
                **self._life.identity.headers,
            },
            body=body,
        )

    def owe_losses(self) -> bool:
        """Whether anything was lost of the attempt since the last report that is kept."""
        return self._told != self._ledger.report(first=self._life.first)

    def _report(self, losses: LossReport) -> AttemptReport:
        recorder, identity, reached = self._recorder, self._life.identity, self._reached
        last = recorder.last_sequence if reached is None else reached.number
        if last is not None and last < self._life.first:
            last = None
        left = recorder.marks.peek() if reached is None else reached.marks
        ended = self._state != "running"
        return AttemptReport(
            state=self._state,
            last_sequence=None if last is None else self._life.sequence(last),
            last_step=self.step,
            display_name=identity.display_name,
            tags=identity.tags,
            loss_report=replace(losses, overhead_ratio=recorder.overhead.ratio),
            wall_clock_seconds=time.time(),
            interval_seconds=recorder.interval_seconds,
            # While it runs, the next snapshot carries them.
            marks=left if ended else (),
            scalars=self._scalars if ended else {},
        )


def _encode(report: AttemptReport) -> bytes:
    """The body, without the older marks where a server would refuse it for its size."""
    body = encode_attempt(report)
    while len(body) > WireLimits().attempt_bytes and report.marks:
        report = replace(report, marks=_newer_half(report.marks))
        body = encode_attempt(report)
    return body


def _newer_half(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    return marks[(len(marks) + 1) // 2 :]
