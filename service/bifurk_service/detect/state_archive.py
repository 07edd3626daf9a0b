"""A judge's state as one numpy archive without pickles: small runs', and an evidence's."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import State

MEMORY: Final = "judge"
"""The array, or the group of pieces, of what is remembered beside the detectors' arrays."""


class ForeignStateError(ValueError):
    """A state that this build cannot take up; the attempt is to be judged anew from here on."""


def archive_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays by name as bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def arrays_of(state: bytes) -> State:
    """What ``archive_of`` was given.

    Raises:
        ForeignStateError: the bytes are no such archive.
    """
    try:
        with np.load(io.BytesIO(state), allow_pickle=False) as archive:
            members = archive.zip.infolist()
            # None that it writes is packed, so that no few bytes unpack to many.
            is_own = all(one.compress_type == zipfile.ZIP_STORED for one in members)
            arrays = {name: archive[name] for name in archive.files} if is_own else {}
    except (OSError, ValueError, EOFError, TypeError, MemoryError, zipfile.BadZipFile) as error:
        raise ForeignStateError(f"{len(state)} bytes that are no state") from error
    if not is_own:
        raise ForeignStateError(f"{len(state)} bytes that are no state: its arrays are packed")
    return arrays


def text_array(text: str) -> NDArray[np.uint8]:
    """Text as its bytes in UTF-8."""
    return np.frombuffer(text.encode(), dtype=np.uint8)


def array_text(array: NDArray[Any] | None) -> str:
    """The text again; empty without an array."""
    return "" if array is None else array.tobytes().decode(errors="replace")


def document_of(array: NDArray[Any] | None) -> dict[str, Any]:
    """The JSON object that an array of text holds.

    Raises:
        ForeignStateError: it holds none.
    """
    try:
        document = json.loads(array_text(array))
    except (ValueError, RecursionError) as error:
        raise ForeignStateError(f"a state without what it remembers: {error!r}") from error
    if not isinstance(document, dict):
        raise ForeignStateError(f"a state that remembers a {type(document).__name__}, no object")
    return document


@contextmanager
def understood() -> Iterator[None]:
    """Turns what a state that is not one's own runs into to ``ForeignStateError``."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, ForeignStateError):
            raise
        raise ForeignStateError(f"a state of other parts: {error!r}") from error
