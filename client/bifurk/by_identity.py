"""Something known about objects of the user's, whatever equality and hash they define."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ByIdentity(Generic[K, V]):
    """Values by the very object, which is not kept alive; its entry goes with it."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[K], V]] = {}

    def __setitem__(self, key: K, value: V) -> None:
        number = id(key)

        def forget(reference: weakref.ref[K]) -> None:
            entry = self._entries.get(number)
            if entry is not None and entry[0] is reference:
                del self._entries[number]

        self._entries[number] = (weakref.ref(key, forget), value)

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def get(self, key: K) -> V | None:
        """The object's value; None without one."""
        entry = self._entries.get(id(key))
        return entry[1] if entry is not None and entry[0]() is key else None

    def values(self) -> Iterator[V]:
        """Of all objects that are alive."""
        return (value for _, value in list(self._entries.values()))
