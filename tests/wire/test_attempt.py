"""The report on an attempt: what is written comes back, what is wrong is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bifurk.wire import (
    WIRE_VERSION,
    AttemptReport,
    LossReport,
    Mark,
    PartTooLargeError,
    ScalarSummary,
    WireError,
    WireLimits,
    decode_attempt,
    encode_attempt,
)


def test_a_full_report_comes_back() -> None:
    report = AttemptReport(
        state="failed",
        last_sequence=7,
        last_step=412,
        display_name="Größe 🦋",
        tags=("sweep:lr=3e-4", "größe"),
        loss_report=LossReport(dropped={"busy": 2}, lost_sequences=((3, 4),), overhead_ratio=0.004),
        wall_clock_seconds=1.7e9,
        interval_seconds=12.5,
        marks=(Mark(kind="checkpoint", step=412, details={"path": "ckpt/412.pt"}),),
        scalars={"loss": ScalarSummary(last=1.5, mean=1.75, min=1.5, max=2.0, count=2)},
    )
    assert decode_attempt(encode_attempt(report)) == report


def test_the_shortest_report_comes_back() -> None:
    body = json.dumps({"wire_version": WIRE_VERSION, "state": "running", "later": [1]}).encode()
    assert decode_attempt(body) == AttemptReport(state="running")


def test_a_state_that_does_not_exist_is_refused_when_made() -> None:
    with pytest.raises(ValueError, match="state must be one of running, finished, failed"):
        AttemptReport(state="lost")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("state", "lost", "one of running, finished, failed"),
        ("state", None, "text"),
        ("last_sequence", -1, "a whole number"),
        ("last_step", 1.5, "a whole number"),
        ("last_step", True, "a whole number"),
        ("display_name", "a\nb", "control characters"),
        ("tags", "one", "a list"),
        ("tags", [1], "a list of texts"),
        ("tags", ["two words"], "a tag of 1 to 64 letters"),
        ("tags", ["x"] * 33, "at most 32 entries"),
        ("loss_report", [], "an object"),
        ("loss_report", {"dropped": {"busy": "many"}}, "a whole number"),
        ("wall_clock_seconds", 1e18, "from 0 to"),
        ("interval_seconds", "NaN", "a number from 0"),
        ("marks", {"kind": "checkpoint"}, "a list"),
        ("marks", [{"kind": "checkpoint"}], "a whole number"),
        ("marks", [{"kind": "k" * 65, "step": 1}], "at most 64 characters"),
        ("scalars", [], "an object"),
        ("scalars", {"loss": {"last": 1, "mean": 1, "min": 1, "max": 1}}, "a whole number"),
        ("scalars", {"loss": 1.5}, "an object"),
        ("wire_version", "0.9", "1.0 or a later minor"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any, problem: str) -> None:
    document = {"wire_version": WIRE_VERSION, "state": "running"} | {field: value}
    with pytest.raises(WireError) as caught:
        decode_attempt(json.dumps(document).encode())
    assert caught.value.where.startswith(f"attempt.{field}")
    assert problem in caught.value.problem


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"state": NaN}', b"{" * 100_000])
def test_what_is_not_a_strict_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(WireError, match="attempt"):
        decode_attempt(body)


def test_a_report_beyond_the_limit_is_refused() -> None:
    with pytest.raises(PartTooLargeError, match="at most 10 bytes"):
        decode_attempt(b" " * 11, limits=WireLimits(attempt_bytes=10))


def test_a_report_of_too_many_marks_is_refused() -> None:
    marks = [{"kind": "checkpoint", "step": 1}] * 10_001
    body = json.dumps({"wire_version": WIRE_VERSION, "state": "finished", "marks": marks}).encode()
    with pytest.raises(PartTooLargeError, match=r"attempt\.marks.*at most 10000 entries"):
        decode_attempt(body)
