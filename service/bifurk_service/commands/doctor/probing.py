"""Asks whether there is a bifurk at an address."""

from __future__ import annotations

from typing import Final

import urllib3

PROBE_SECONDS: Final = 2.0


def bifurk_version(url: str) -> str | None:
    """The version of the bifurk that answers there, or None where none does."""
    try:
        with urllib3.PoolManager(retries=False, timeout=PROBE_SECONDS) as pool:
            answer = pool.request("GET", f"{url.rstrip('/')}/healthz", redirect=False).json()
    except (urllib3.exceptions.HTTPError, ValueError):
        return None
    is_bifurk = isinstance(answer, dict) and answer.get("status") == "ok"
    return str(answer.get("version", "")) if is_bifurk else None
