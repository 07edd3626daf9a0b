"""Names that MLflow takes, one for each of the user's own.

MLflow takes letters of ASCII, digits, ``_ - . : /`` and spaces, at most 250. A name is a path as
well: it has to be that path's normal form, and none can lie below another where folders are the
store.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator
from typing import Final

from bifurk.forwarding.target import PREFIX

MOST_CHARACTERS: Final = 250
"""Of a metric's name, in every version of MLflow so far."""

_NOT_IN_KEYS: Final = re.compile(r"[^\w.:/ -]", re.ASCII)

_log = logging.getLogger("bifurk")


class MlflowNames:
    """Gives every name a key that no other name has, and keeps to it."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._folders: set[str] = set()

    def key_of(self, name: str) -> str:
        """The key, ``bifurk/`` and all; who comes later gives way, which is said once."""
        if name not in self._keys:
            wanted = cleaned(name)
            key = next(key for key in _from(wanted) if self._is_free(key))
            self._keys[name] = key
            self._folders.update(_folders_of(key))
            if key != wanted or len(name) > MOST_CHARACTERS - len(PREFIX):
                _log.warning(
                    "MLflow cannot have %.80r as it is: it stands there as %.80r", name, key
                )
        return self._keys[name]

    def _is_free(self, key: str) -> bool:
        used = set(self._keys.values())
        return not (key in used or key in self._folders or _folders_of(key) & used)


def cleaned(name: str) -> str:
    """A name as MLflow takes it, below ``bifurk/``.

    >>> cleaned("a//b/../größe?")
    'bifurk/a/b/__/gr__e_'
    """
    short = _NOT_IN_KEYS.sub("_", name)[: MOST_CHARACTERS - len(PREFIX)]
    parts = ["_" * len(part) if part in (".", "..") else part for part in short.split("/") if part]
    return PREFIX + ("/".join(parts) or "_")


def _from(key: str) -> Iterator[str]:
    """The key, without folders where that is taken, and numbered where that is."""
    yield key
    flat = PREFIX + key.removeprefix(PREFIX).replace("/", "_")
    yield flat
    for number in itertools.count(2):
        ending = f"_{number}"
        yield flat[: MOST_CHARACTERS - len(ending)] + ending


def _folders_of(key: str) -> set[str]:
    words = key.split("/")
    return {"/".join(words[:end]) for end in range(1, len(words))}
