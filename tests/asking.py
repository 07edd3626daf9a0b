"""Plain requests to a server of a test's own, with the patience that a busy machine asks for."""

from __future__ import annotations

from typing import Any, Final

import urllib3

PATIENCE_SECONDS: Final = 60.0
"""What urllib3 allows unless told otherwise is 3 s."""


def asked(method: str, url: str, **said: Any) -> urllib3.BaseHTTPResponse:
    """What a server answers; ``said`` as for ``urllib3.request``."""
    return urllib3.request(method, url, **{"timeout": PATIENCE_SECONDS, **said})
