"""Names that may stand in a URL, and what is suggested for those that may not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifurk.wire import SLUG_PATTERN, check_slug


@pytest.mark.parametrize("text", ["a", "0", "gpt-small", "A.b_c-9", "a" * 128, "a.."])
def test_slugs_pass(text: str) -> None:
    check_slug(text, "run")


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("my run!", "my-run"),
        ("Größe", "Groe"),
        ("a/b", "a-b"),
        ("..", "run"),
        ("../../etc/passwd", "etc-passwd"),
        ("", "run"),
        ("重み", "run"),
        ("-lead", "lead"),
        ("run\n", "run"),
        ("a" * 129, "a" * 128),
        ("é" * 1_000_000, "e" * 128),
        ("\ud800x", "x"),
    ],
)
def test_what_is_no_slug_is_refused_with_one_that_is(text: str, suggestion: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"try {suggestion!r}")) as caught:
        check_slug(text, "run")
    assert len(str(caught.value)) < 1_500


@given(st.text())
def test_every_suggestion_is_a_slug(text: str) -> None:
    try:
        check_slug(text, "project")
    except ValueError as error:
        suggestion = str(error).rpartition("try ")[2].strip("'")
        check_slug(suggestion, "project")
    else:
        assert re.fullmatch(SLUG_PATTERN, text)
