"""Where lines go: to standard error, all of them in one form, those of libraries too."""

from __future__ import annotations

import logging

from bifurk_service.logs.formatting import JsonFormatter, TextFormatter


def configure(*, as_json: bool, level: str) -> None:
    """Sets up the logging of this process; for a command that is the process, not for a library.

    Libraries are heard from warnings on, whatever the level: some tell at debug of addresses and
    headers with all that is in them.

    Args:
        as_json: one object a line, else text. level: debug, info, warning or error.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    own = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(logging.WARNING, own), handlers=[handler], force=True)
    logging.getLogger("bifurk").setLevel(own)
