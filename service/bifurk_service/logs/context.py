"""What every line is about: words that hold for a request or a snapshot, and go with each line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_FIELDS: Final[ContextVar[Mapping[str, object]]] = ContextVar("bifurk_log_fields")


def fields() -> Mapping[str, object]:
    """What lines written here and now carry, besides their own."""
    return _FIELDS.get({})


def bind(**more: object) -> None:
    """Has all lines of this context carry more from now on; for a task that ends by itself."""
    _FIELDS.set({**fields(), **more})


@contextmanager
def bound(**more: object) -> Iterator[None]:
    """Has lines carry more for as long as this is open.

    >>> with bound(run=7):
    ...     with bound(sequence=3):
    ...         print(dict(fields()))
    {'run': 7, 'sequence': 3}
    """
    token = _FIELDS.set({**fields(), **more})
    try:
        yield
    finally:
        _FIELDS.reset(token)
