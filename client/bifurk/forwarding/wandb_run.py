"""Into the active run of Weights & Biases, without a step of its own.

A row of ours that was committed would advance the counter that the user's own rows are numbered by,
and wandb drops rows that come with an earlier number. So nothing is committed here: values ride in
the row that the user's next ``log`` commits, and are drawn over ``bifurk/step``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from bifurk.alerts import Alert
from bifurk.forwarding.target import PREFIX, NoRunError, sentence_of

STEP: Final = f"{PREFIX}step"
LEVELS: Final = {"info": "INFO", "warning": "WARN", "critical": "ERROR"}
"""wandb's words for our severities."""


class WandbRun:
    """Forwards to ``wandb.run``, whichever that is at the time."""

    name = "wandb"

    def __init__(self) -> None:
        self._defined: str | None = None

    def find(self) -> None:
        """The run belongs to the process: there is nothing that only this thread knows."""

    def scalars(self, step: int, means: Mapping[str, float]) -> None:
        """See ``Target.scalars``."""
        run = _active()
        if self._defined != run.id:
            run.define_metric(f"{PREFIX}*", step_metric=STEP)
            self._defined = run.id
        row = {f"{PREFIX}{name}": mean for name, mean in means.items()}
        run.log({STEP: step, **row}, commit=False)

    def alert(self, alert: Alert) -> None:
        """Sends a wandb alert of one that fires; what is acknowledged or over alarms nobody."""
        if alert.firing:
            _active().alert(
                title=f"bifurk: {alert.kind}",
                text=sentence_of(alert),
                level=LEVELS[alert.severity],
                # wandb leaves out a second alert of one title within a minute otherwise.
                wait_duration=timedelta(milliseconds=1),
            )


def _active() -> Any:
    # Who has an active run has imported wandb; whoever has not is spared its import.
    run = getattr(sys.modules.get("wandb"), "run", None)
    if run is None:
        raise NoRunError("wandb has no active run: call wandb.init() before the training")
    return run
