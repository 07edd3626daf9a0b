"""Plain requests to a server of a test's own, with the patience that a busy machine asks for."""

from __future__ import annotations

from typing import Any, Final

import urllib3

PATIENCE_SECONDS: Final = 60.0
"""What urllib3 allows unless told otherwise is 3 s."""


def asked(method: str, url: str, **said: Any) -> urllib3.BaseHTTPResponse:
    """What a server answers on a connection of its own; ``said`` as for ``urllib3.request``.

    One that was idle for five seconds the server closes, perhaps just as it is used again.
    """
    with urllib3.PoolManager(timeout=PATIENCE_SECONDS) as connections:
        return connections.request(method, url, **said)
