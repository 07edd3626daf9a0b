"""Typed reads from untrusted JSON: each error names the field, what was expected, what came."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeGuard, TypeVar

from bifurk.wire.errors import PartTooLargeError, WireError
from bifurk.wire.limits import (
    MAX_ENTRIES,
    MAX_INTEGER,
    MAX_NAME_CHARACTERS,
    MAX_SECONDS,
    MAX_TEXT_CHARACTERS,
)
from bifurk.wire.part import Detail
from bifurk.wire.slug import check_slug
from bifurk.wire.strict_json import FORBIDDEN, NONFINITE

_SHOWN_CHARACTERS: Final = 80

T = TypeVar("T")

_repr: Final = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = _SHOWN_CHARACTERS


def shown(value: Any) -> str:
    """A received value as errors show it: short, whatever it is and however deep."""
    text = "nothing" if value is None else _repr.repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


class Fields:
    """The fields of one JSON object; what is not asked for is ignored."""

    def __init__(self, document: Any, where: str) -> None:
        if not isinstance(document, dict):
            raise WireError(where, f"expected an object, got {shown(document)}")
        self._document: dict[str, Any] = document
        self.where = where

    def fail(self, name: str, expected: str) -> NoReturn:
        """Raises the error of one field."""
        raise WireError(
            f"{self.where}.{name}", f"expected {expected}, got {shown(self._document.get(name))}"
        )

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._document.get(name) is not None

    def raw(self, name: str) -> Any:
        """The field as it came, or None."""
        return self._document.get(name)

    def text(
        self, name: str, default: str | None = None, *, limit: int = MAX_NAME_CHARACTERS
    ) -> str:
        """One line of text of at most ``limit`` characters."""
        value = self._document.get(name, default)
        if not isinstance(value, str) or len(value) > limit:
            self.fail(name, f"text of at most {limit} characters")
        if FORBIDDEN.search(value):
            self.fail(name, "text without control characters or lone surrogates")
        return value

    def optional_text(self, name: str) -> str | None:
        """The same, or None where it is null or missing."""
        return self.text(name) if self.has(name) else None

    def slug(self, name: str) -> str:
        """A name that may stand in a path."""
        value = self.text(name)
        try:
            check_slug(value, name)
        except ValueError as error:
            raise WireError(f"{self.where}.{name}", str(error)) from None
        return value

    def integer(
        self, name: str, default: int | None = None, *, least: int = 0, most: int = MAX_INTEGER
    ) -> int:
        """A whole number in ``least..most``; true and 1.0 are none."""
        value = self._document.get(name, default)
        if not _is_integer(value, least, most):
            self.fail(name, f"a whole number from {least} to {most}")
        return value

    def optional_integer(self, name: str, *, most: int = MAX_INTEGER) -> int | None:
        """A whole number from 0, or None where it is null or missing."""
        return self.integer(name, most=most) if self.has(name) else None

    def number(self, name: str) -> float:
        """A float64; the texts NaN, Infinity and -Infinity stand for those."""
        value = self._document.get(name)
        if isinstance(value, str) and value in NONFINITE:
            return NONFINITE[value]
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.fail(name, 'a number, "NaN", "Infinity" or "-Infinity"')
        try:
            return float(value)
        except OverflowError:
            self.fail(name, "a number within float64")

    def finite(
        self, name: str, default: float | None = None, *, most: float = MAX_SECONDS
    ) -> float:
        """A float64 from 0 to ``most``."""
        value = self._document.get(name, default)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not 0.0 <= value <= most
        ):
            self.fail(name, f"a number from 0 to {most:g}")
        return float(value)

    def optional_finite(self, name: str, *, most: float = MAX_SECONDS) -> float | None:
        """The same, or None where it is null or missing."""
        return self.finite(name, most=most) if self.has(name) else None

    def flag(self, name: str) -> bool:
        """True or false; false where it is missing."""
        value = self._document.get(name, False)
        if not isinstance(value, bool):
            self.fail(name, "true or false")
        return value

    def items(self, name: str, limit: int) -> list[Any]:
        """A list of at most ``limit`` entries; empty where it is missing."""
        value = self._document.get(name, [])
        if not isinstance(value, list):
            self.fail(name, "a list")
        if len(value) > limit:
            raise PartTooLargeError(
                f"{self.where}.{name}", f"at most {limit} entries, got {len(value)}"
            )
        return value

    def integers(self, name: str, *, least: int, most: int, limit: int) -> tuple[int, ...]:
        """A list of whole numbers in ``least..most``."""
        values = self.items(name, limit)
        if not all(_is_integer(value, least, most) for value in values):
            self.fail(name, f"whole numbers from {least} to {most}")
        return tuple(values)

    def mapping(self, name: str) -> dict[str, Any]:
        """An object with free keys, each one line of text; empty where it is missing."""
        value = self._document.get(name, {})
        if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
            self.fail(name, f"an object of at most {MAX_ENTRIES} entries")
        if any(len(key) > MAX_NAME_CHARACTERS or FORBIDDEN.search(key) for key in value):
            self.fail(name, f"keys of at most {MAX_NAME_CHARACTERS} characters on one line")
        return value

    def details(self, name: str) -> dict[str, Detail]:
        """An object of scalars: text, numbers, true, false or null."""
        return self._each(name, _detail)

    def texts(self, name: str) -> dict[str, str]:
        """An object of texts."""
        return self._each(name, Fields.text)

    def _each(self, name: str, read: Callable[[Fields, str], T]) -> dict[str, T]:
        entries = Fields(self.mapping(name), f"{self.where}.{name}")
        return {key: read(entries, key) for key in entries._document}


def _detail(entries: Fields, key: str) -> Detail:
    value = entries.raw(key)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return entries.text(key, limit=MAX_TEXT_CHARACTERS)
    if not isinstance(value, int):
        entries.fail(key, "text, number, true, false or null")
    return entries.integer(key, least=-MAX_INTEGER)


def _is_integer(value: Any, least: int, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
