"""How a line is written: for people, or as one JSON object."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bifurk_service.logs.context import fields
from bifurk_service.logs.redaction import redacted

OWN: Final = "bifurk_fields"
"""Under which a record carries fields of its own: ``extra={OWN: {...}}``."""
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    """What a record is about: its context's fields, then its own; none that is None."""
    everything = {**fields(), **getattr(record, OWN, {})}
    return {name: value for name, value in everything.items() if value is not None}


class TextFormatter(logging.Formatter):
    """Time, level, message, then the fields; control characters of a message are written out."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging calls it
        """The line without traceback."""
        line = CONTROL.sub(lambda found: repr(found[0])[1:-1], super().formatMessage(record))
        about = " ".join(f"{name}={_word(value)}" for name, value in fields_of(record).items())
        return f"{line}  {about}" if about else line

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it."""
        return redacted(super().format(record))


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, the fields, a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; keys that every line has win over fields of the same name."""
        document: dict[str, object] = {
            **fields_of(record),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info:
            document["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(
            {name: _plain(value) for name, value in document.items()}, ensure_ascii=False
        )


def _word(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if text and text.isprintable() and " " not in text else json.dumps(text)


def _plain(value: object) -> object:
    if isinstance(value, str):
        return redacted(value)
    return value if isinstance(value, bool | int | float) else redacted(str(value))
