"""Tags: words by which people find a run again."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

MAX_TAG_CHARACTERS: Final = 64
MAX_TAGS: Final = 32
"""Of one run."""
BETWEEN: Final = "._-:=+"
"""What a tag may hold beside letters, their marks and digits, but not begin with."""


def normal_tag(text: str) -> str:
    """A tag as it is stored: without blanks around it, composed (NFC).

    >>> normal_tag(" sweep:lr=3e-4 ")
    'sweep:lr=3e-4'

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str):
        raise ValueError(_problem(text))  # noqa: TRY004 - what configures a watch raises this
    tag = unicodedata.normalize("NFC", text.strip()[: 2 * MAX_TAG_CHARACTERS])
    is_word = bool(tag) and _category(tag[0]) in "LN"
    if len(tag) > MAX_TAG_CHARACTERS or not is_word or not all(map(_belongs, tag)):
        raise ValueError(_problem(tag[: MAX_TAG_CHARACTERS + 1]))
    return tag


def normal_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Some tags as they are stored, each once.

    Raises:
        ValueError: one is none, or there are too many.
    """
    found = tuple(dict.fromkeys(map(normal_tag, tags)))
    if len(found) > MAX_TAGS:
        raise ValueError(f"expected at most {MAX_TAGS} tags, got {len(found)}")
    return found


def _problem(got: object) -> str:
    return (
        f"expected a tag of 1 to {MAX_TAG_CHARACTERS} letters, digits and any of {BETWEEN}, "
        f"a letter or digit first; got {got!r:.100}"
    )


def _category(character: str) -> str:
    return unicodedata.category(character)[0]


def _belongs(character: str) -> bool:
    return character in BETWEEN or _category(character) in "LMN"
