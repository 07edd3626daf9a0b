"""The reports on one attempt: how it stands, what was lost, and at the end what is left to say."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from bifurk.identity import Identity
from bifurk.losses import LossLedger
from bifurk.recorder import Recorder
from bifurk.transport import Request
from bifurk.wire import (
    AttemptReport,
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
        identity: whose attempt. recorder: how far it is. ledger: what was lost.
    """

    def __init__(self, *, identity: Identity, recorder: Recorder, ledger: LossLedger) -> None:
        self._identity = identity
        self._recorder = recorder
        self._ledger = ledger
        self._state: State = "running"
        self._scalars: Mapping[str, ScalarSummary] = {}

    def end(self, state: State) -> None:
        """From now on every report says so; the first word stays."""
        if self._state == "running":
            self._state = state

    @property
    def state(self) -> State:
        """What reports say now."""
        return self._state

    def read_last_scalars(self) -> Mapping[str, ScalarSummary]:
        """Reads and returns what was logged since; waits for the device it lies on."""
        read = self._recorder.scalars.take().summaries()
        self._scalars = {**self._scalars, **read}
        return read

    def request(self) -> Request:
        """The report of this moment."""
        body = _encode(self._report())
        return Request(
            method="PUT",
            path=self._identity.attempt_path,
            headers={
                "Content-Type": "application/json",
                "Content-Digest": content_digest(body),
            },
            body=body,
        )

    def _report(self) -> AttemptReport:
        recorder = self._recorder
        ended = self._state != "running"
        return AttemptReport(
            state=self._state,
            last_sequence=recorder.last_sequence,
            last_step=recorder.step,
            display_name=self._identity.display_name,
            tags=self._identity.tags,
            loss_report=self._ledger.report(recorder.overhead.ratio),
            wall_clock_seconds=time.time(),
            interval_seconds=recorder.interval_seconds,
            # While it runs, the next snapshot carries them.
            marks=recorder.marks.peek() if ended else (),
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
