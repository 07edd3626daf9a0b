"""Lines for the person at the terminal; a script whose stderr is gone does not notice."""

from __future__ import annotations

import sys


def say(sentence: str) -> None:
    """Writes one line to stderr, where there is one."""
    try:
        if sys.stderr is not None:
            print(f"bifurk: {sentence}", file=sys.stderr, flush=True)
    except Exception:  # noqa: BLE001, S110 - closed, full, or the script's own object
        pass
