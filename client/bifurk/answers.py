"""What a server's answer says, as far as it can be understood."""

from __future__ import annotations

import json
import logging
from typing import Any

from bifurk.transport import Response

_log = logging.getLogger("bifurk")


def document(response: Response) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is none."""
    try:
        answer = json.loads(response.body or b"{}")
    except (ValueError, RecursionError) as error:
        _log.debug("an answer cannot be read: %r", error)
        return {}
    return answer if isinstance(answer, dict) else {}
