"""Names of projects, runs and attempts, which stand in URLs and paths."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_SLUG_CHARACTERS: Final = 128
SLUG_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"

_SLUG: Final = re.compile(SLUG_PATTERN)
_OTHERS: Final = re.compile(r"[^A-Za-z0-9._-]+")


def check_slug(text: str, what: str) -> None:
    """Refuses what is not a slug, and suggests one.

    >>> check_slug("my run!", "run")
    Traceback (most recent call last):
    ...
    ValueError: run 'my run!' is not a slug (letters, digits, . _ -); try 'my-run'

    Args:
        text: the name to judge.
        what: ``project``, ``run`` or ``attempt``, for the message.

    Raises:
        ValueError: it does not match ``SLUG_PATTERN``.
    """
    if _SLUG.fullmatch(text):
        return
    shown = repr(text if len(text) <= MAX_SLUG_CHARACTERS else f"{text[:MAX_SLUG_CHARACTERS]}...")
    raise ValueError(
        f"{what} {shown} is not a slug (letters, digits, . _ -); try {to_slug(text, what)!r}"
    )


def to_slug(text: str, what: str) -> str:
    """The slug nearest to a text; ``what`` it names where nothing of it can be kept."""
    # Twice the slug's length is enough to find one in, however long the text.
    start = unicodedata.normalize("NFKD", text[: 2 * MAX_SLUG_CHARACTERS])
    letters = start.encode("ascii", "ignore").decode()
    # Other alphabets leave nothing behind: the kind of thing it is still makes a valid name.
    return _OTHERS.sub("-", letters).strip("-._")[:MAX_SLUG_CHARACTERS].rstrip("-._") or what
