"""An alert as a server tells it."""

from __future__ import annotations

import bifurk

SILENT = bifurk.Alert(
    id=1,
    fingerprint="f",
    kind="silent",
    severity="critical",
    state="firing",
    sentence="Nothing comes any more.",
    detected_step=1,
    onset_first_step=0,
    onset_last_step=1,
    tensors=(),
)
