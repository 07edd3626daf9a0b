"""Tags of runs: words by which people find them again."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from bifurk_service.errors import InvalidError
from bifurk_service.store.models import Run, RunTag

MOST_CHARACTERS: Final = 64
MOST_TAGS: Final = 32
"""Of one run."""
BETWEEN: Final = "._-:=+"
"""What a tag may hold beside letters, their marks and digits, but not begin with."""


def checked_tag(text: str) -> str:
    """A tag as it is stored: without blanks around it, composed (NFC).

    >>> checked_tag(" sweep:lr=3e-4 ")
    'sweep:lr=3e-4'

    Raises:
        InvalidError: it is none.
    """
    tag = unicodedata.normalize("NFC", text.strip())
    is_word = bool(tag) and _category(tag[0]) in "LN"
    if len(tag) > MOST_CHARACTERS or not is_word or not all(map(_belongs, tag)):
        raise InvalidError(
            f"expected a tag of 1 to {MOST_CHARACTERS} letters, digits and any of {BETWEEN}, "
            f"a letter or digit first; got {tag[: MOST_CHARACTERS + 1]!r}",
            where="tag",
        )
    return tag


def add_tag(session: Session, run_id: int, text: str) -> None:
    """Puts a tag on a run; one that it has already stays.

    Raises:
        InvalidError: it is no tag, or the run has as many as it may.
    """
    tag = checked_tag(text)
    if session.get(RunTag, (run_id, tag)) is not None:
        return
    query = select(func.count()).select_from(RunTag).where(RunTag.run_id == run_id)
    if (session.scalar(query) or 0) >= MOST_TAGS:
        raise InvalidError(
            f"run {run_id} has {MOST_TAGS} tags, the most there can be; remove one first",
            where="tag",
        )
    session.add(RunTag(run_id=run_id, tag=tag))
    session.flush()


def remove_tag(session: Session, run_id: int, text: str) -> None:
    """Takes a tag off a run, if it is there.

    Raises:
        InvalidError: it is no tag.
    """
    tag = checked_tag(text)
    session.execute(delete(RunTag).where(RunTag.run_id == run_id, RunTag.tag == tag))


def tags_of(session: Session, run_ids: Sequence[int]) -> dict[int, list[str]]:
    """By run its tags, in order; without the runs that have none."""
    query = select(RunTag).where(RunTag.run_id.in_(run_ids)).order_by(RunTag.tag)
    found: dict[int, list[str]] = {}
    for one in session.scalars(query):
        found.setdefault(one.run_id, []).append(one.tag)
    return found


def tagged(tags: Iterable[str]) -> list[ColumnElement[bool]]:
    """What of runs holds for those that have every one of some tags."""
    return [Run.id.in_(select(RunTag.run_id).where(RunTag.tag == tag)) for tag in tags]


def has_tag_with(text: str) -> ColumnElement[bool]:
    """What holds for runs one of whose tags holds a text, in capitals or not."""
    query = select(RunTag.run_id).where(RunTag.tag.icontains(text, autoescape=True))
    return Run.id.in_(query)


def _category(character: str) -> str:
    return unicodedata.category(character)[0]


def _belongs(character: str) -> bool:
    return character in BETWEEN or _category(character) in "LMN"
