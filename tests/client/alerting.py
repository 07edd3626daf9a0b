"""Answers of a server that has found something."""

from __future__ import annotations

import json
from typing import Any

from bifurk.transport import Response

FOUND: dict[str, Any] = {
    "id": 7,
    "fingerprint": "event-1",
    "kind": "regime_shift",
    "severity": "warning",
    "state": "firing",
    "sentence": "The rms of head.weight rose.",
    "detected_step": 30,
    "onset_first_step": 10,
    "onset_last_step": 20,
    "tensors": ["head.weight"],
    "path": "/alerts/7",
}


def found(fingerprint: str = "event-1", **changed: Any) -> dict[str, Any]:
    return {**FOUND, "fingerprint": fingerprint, **changed}


def answer(*alerts: Any, **beside: Any) -> Response:
    """The newest change first, as the server has it."""
    return Response(status=201, body=body(*alerts, **beside))


def body(*alerts: Any, **beside: Any) -> bytes:
    return json.dumps({"created": True, "alerts": alerts, **beside}).encode()
