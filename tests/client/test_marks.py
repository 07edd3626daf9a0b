"""Marks: what the run did between two snapshots, in values the wire can carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bifurk.marks import MAX_DETAILS, MAX_MARKS, MAX_TEXT_CHARACTERS, MarkLog


def detail(value: Any) -> Any:
    marks = MarkLog()
    marks.add("note", step=1, details={"value": value})
    return marks.take()[0].details["value"]


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        ("text", "text"),
        (3, 3),
        (0.5, 0.5),
        (True, True),
        (None, None),
        (Path("ckpt") / "4.pt", "ckpt/4.pt"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        ([1, 2], "[1, 2]"),
        (torch.ones(3), "<Tensor>"),
        ("x" * 9999, "x" * MAX_TEXT_CHARACTERS),
    ],
)
def test_details_become_text_and_numbers(value: Any, carried: Any) -> None:
    assert detail(value) == carried


def test_marks_are_taken_once_and_in_order() -> None:
    marks = MarkLog()
    marks.add("checkpoint", step=4, details={"path": "a"})
    marks.add("evaluation", step=5, details={})
    assert [(mark.kind, mark.step) for mark in marks.take()] == [
        ("checkpoint", 4),
        ("evaluation", 5),
    ]
    assert marks.take() == ()


@pytest.mark.parametrize("kind", ["", "two\nlines", "x" * 65])
def test_a_kind_is_a_short_word(kind: str) -> None:
    with pytest.raises(ValueError, match="a mark's kind is"):
        MarkLog().add(kind, step=0, details={})


def test_of_too_many_marks_the_newest_stay_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    marks = MarkLog()
    for step in range(MAX_MARKS + 5):
        marks.add("note", step=step, details={})
    taken = marks.take()
    assert (len(taken), taken[0].step) == (MAX_MARKS, 5)
    assert len(caplog.messages) == 1


def test_marks_that_come_back_stand_before_those_set_since() -> None:
    marks = MarkLog()
    marks.add("first", step=1, details={})
    lost = marks.take()
    marks.add("second", step=2, details={})
    marks.restore(lost)
    assert [mark.kind for mark in marks.peek()] == ["first", "second"]
    assert [mark.kind for mark in marks.take()] == ["first", "second"]


def test_marks_that_come_back_stay_within_the_bound() -> None:
    marks = MarkLog()
    marks.add("lost", step=0, details={})
    lost = marks.take()
    for step in range(MAX_MARKS):
        marks.add("note", step=step, details={})
    marks.restore(lost)
    taken = marks.take()
    assert (len(taken), taken[0].kind) == (MAX_MARKS, "note")


def test_a_mark_has_no_more_details_than_a_reader_takes() -> None:
    marks = MarkLog()
    marks.add("note", step=1, details={f"d{number}": number for number in range(MAX_DETAILS + 1)})
    assert len(marks.take()[0].details) == MAX_DETAILS
