"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from bifurk_service.commands.rest import RestError


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """A path aside that takes the file's place when all went well, and is removed otherwise.

    Raises:
        RestError: it cannot be written, or what is there is a folder, a device or a pipe.
    """
    if file.exists() and not file.is_file():
        raise RestError(f"{file} is no regular file, and is not replaced by one; name another")
    aside = file.with_name(f".{uuid4().hex}{file.suffix}")
    try:
        yield aside
        aside.replace(file)
    except OSError as error:
        raise RestError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)
