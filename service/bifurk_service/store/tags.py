"""Tags of runs: words by which people find them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from bifurk.wire.tags import MAX_TAGS, normal_tag
from bifurk_service.errors import InvalidError
from bifurk_service.store.models import Run, RunTag


def checked_tag(text: str) -> str:
    """A tag as it is stored.

    Raises:
        InvalidError: it is none.
    """
    try:
        return normal_tag(text)
    except ValueError as error:
        raise InvalidError(str(error), where="tag") from error


def add_tag(session: Session, run_id: int, text: str) -> None:
    """Puts a tag on a run; one that it has already stays.

    Raises:
        InvalidError: it is no tag, or the run has as many as it may.
    """
    if add_tags(session, run_id, [text]):
        raise InvalidError(
            f"run {run_id} has {MAX_TAGS} tags, the most there can be; remove one first",
            where="tag",
        )


def add_tags(session: Session, run_id: int, texts: Iterable[str]) -> list[str]:
    """Puts tags on a run, as many as it may have; gives back those beyond.

    Raises:
        InvalidError: one is no tag.
    """
    known = tags_of(session, [run_id]).get(run_id, [])
    new = [tag for tag in dict.fromkeys(map(checked_tag, texts)) if tag not in known]
    room = MAX_TAGS - len(known)
    session.add_all(RunTag(run_id=run_id, tag=tag) for tag in new[:room])
    session.flush()
    return new[room:]


def remove_tag(session: Session, run_id: int, text: str) -> None:
    """Takes a tag off a run, if it is there.

    Raises:
        InvalidError: it is no tag.
    """
    tag = checked_tag(text)
    session.execute(delete(RunTag).where(RunTag.run_id == run_id, RunTag.tag == tag))


def tags_of(session: Session, run_ids: Sequence[int]) -> dict[int, list[str]]:
    """By run its tags, in an order that no database's language decides; none without any."""
    query = select(RunTag).where(RunTag.run_id.in_(run_ids))
    found: dict[int, list[str]] = {}
    for one in session.scalars(query):
        found.setdefault(one.run_id, []).append(one.tag)
    return {run_id: sorted(tags) for run_id, tags in found.items()}


def tagged(tags: Iterable[str]) -> list[ColumnElement[bool]]:
    """What of runs holds for those that have every one of some tags."""
    return [Run.id.in_(select(RunTag.run_id).where(RunTag.tag == tag)) for tag in tags]


def has_tag_with(text: str) -> ColumnElement[bool]:
    """What holds for runs one of whose tags holds a text, in capitals or not."""
    query = select(RunTag.run_id).where(RunTag.tag.icontains(text, autoescape=True))
    return Run.id.in_(query)
