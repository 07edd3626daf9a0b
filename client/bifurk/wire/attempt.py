"""The report on an attempt: JSON at its start, every minute, and at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, cast

from bifurk.wire.errors import PartTooLargeError, WireError
from bifurk.wire.fields import Fields
from bifurk.wire.limits import WireLimits
from bifurk.wire.manifest import read_loss_report, read_marks, read_scalars, read_version
from bifurk.wire.part import WIRE_VERSION, LossReport, Mark, ScalarSummary
from bifurk.wire.strict_json import parse_object, write
from bifurk.wire.tags import MAX_TAGS, normal_tags

State: TypeAlias = Literal["running", "finished", "failed"]

STATES: Final = ("running", "finished", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReport:
    """How an attempt stands, in the client's words.

    Attributes:
        state: ``running``, ``finished``, or ``failed`` after an exception.
        last_sequence: of the last snapshot taken, sent or not; None before the first.
        last_step: the optimizer's step by now; None before the first.
        display_name: free text for people, one line.
        tags: words to find the run by; a server takes them over once an attempt.
        loss_report: what could not be delivered so far.
        wall_clock_seconds: when this was written, seconds since 1970 UTC.
        interval_seconds: usual time between snapshots; None until known.
        marks, scalars: what was said after the last snapshot, which no part will carry; only in
            a report that ends the attempt. Reports that repeat the end repeat them.
    """

    state: State
    last_sequence: int | None = None
    last_step: int | None = None
    display_name: str | None = None
    tags: tuple[str, ...] = ()
    loss_report: LossReport = field(default_factory=LossReport)
    wall_clock_seconds: float = 0.0
    interval_seconds: float | None = None
    marks: tuple[Mark, ...] = ()
    scalars: Mapping[str, ScalarSummary] = field(default_factory=dict)
    wire_version: str = WIRE_VERSION

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}, got {self.state!r}")


def encode_attempt(report: AttemptReport) -> bytes:
    """The body of ``PUT .../attempts/{attempt}``, UTF-8 JSON."""
    return write(report).encode()


def decode_attempt(body: bytes, *, limits: WireLimits | None = None) -> AttemptReport:
    """Reads an attempt report.

    Raises:
        PartTooLargeError: it is beyond the limits.
        WireError: anything else is wrong with it.
    """
    limits = limits or WireLimits()
    if len(body) > limits.attempt_bytes:
        raise PartTooLargeError("body", f"at most {limits.attempt_bytes} bytes, got {len(body)}")
    document = parse_object(body, "attempt", most_values=limits.json_values)
    f = Fields(document, "attempt")
    version = read_version(f)
    if f.text("state") not in STATES:
        f.fail("state", f"one of {', '.join(STATES)}")
    return AttemptReport(
        state=cast("State", f.text("state")),
        last_sequence=f.optional_integer("last_sequence"),
        last_step=f.optional_integer("last_step"),
        display_name=f.optional_text("display_name"),
        tags=_read_tags(f),
        loss_report=read_loss_report(document.get("loss_report", {}), "attempt.loss_report"),
        wall_clock_seconds=f.finite("wall_clock_seconds", 0.0),
        interval_seconds=f.optional_finite("interval_seconds"),
        marks=read_marks(f),
        scalars=read_scalars(f),
        wire_version=version,
    )


def _read_tags(f: Fields) -> tuple[str, ...]:
    tags = f.items("tags", MAX_TAGS)
    if not all(isinstance(tag, str) for tag in tags):
        f.fail("tags", "a list of texts")
    try:
        return normal_tags(tags)
    except ValueError as error:
        raise WireError(f"{f.where}.tags", str(error)) from None
