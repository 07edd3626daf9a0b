"""JSON as this wire has it: UTF-8, no duplicate keys, no NaN literals, one-line text.

A number that is NaN or infinite is written as the text ``"NaN"``, ``"Infinity"`` or
``"-Infinity"``, which every JSON parser reads.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from bifurk.wire.errors import PartTooLargeError, WireError
from bifurk.wire.limits import MAX_INTEGER, MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS

FORBIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Controls, line separators, overrides of the writing direction, and lone surrogates."""

NONFINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_BREAKS: Final = re.compile("[\t\n\r\x0b\x0c\u2028\u2029]+")
_SEPARATORS: Final = ",:[{"


def parse_object(text: str | bytes | memoryview, where: str, *, most_values: int) -> dict[str, Any]:
    """Reads one JSON object.

    Args:
        text: the JSON; bytes must be UTF-8.
        where: named in errors.
        most_values: the largest number of separators, which bounds the objects it can become.

    Raises:
        PartTooLargeError: it holds too many values.
        WireError: it is not JSON, not an object, or names a key twice.
    """
    try:
        written = text if isinstance(text, str) else str(text, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError(where, f"not UTF-8 ({error.reason} at byte {error.start})") from None
    if sum(written.count(separator) for separator in _SEPARATORS) > most_values:
        raise PartTooLargeError(where, f"at most {most_values} values in its JSON")
    try:
        document = json.loads(
            written,
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise WireError(where, "nested too deep") from None
    except ValueError as error:
        raise WireError(where, f"not strict JSON ({error})") from None
    if not isinstance(document, dict):
        raise WireError(where, f"expected an object, got {type(document).__name__}")
    return document


def write(document: Any) -> str:
    """The JSON text of dataclasses, mappings, sequences and scalars; strict and one-line."""
    return json.dumps(_portable(document), ensure_ascii=False, allow_nan=False)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object names the same key twice")
    return result


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number beyond float64")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is no JSON; the text "{name}" stands for it where it can occur')


def _portable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_one_line(k)[:MAX_NAME_CHARACTERS]: _portable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {f.name: _portable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return _portable_scalar(value)


def _portable_scalar(value: Any) -> Any:
    if isinstance(value, str):
        return _one_line(value)[:MAX_TEXT_CHARACTERS]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return hex(value)[:MAX_TEXT_CHARACTERS]
    return value


def _one_line(text: str) -> str:
    # Most text needs nothing; one search keeps a part of 20,000 names quick.
    if FORBIDDEN.search(text) is None:
        return text
    return FORBIDDEN.sub("\ufffd", _BREAKS.sub(" ", text))
