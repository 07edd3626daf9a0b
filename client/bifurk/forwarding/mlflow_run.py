"""Into the MLflow run that is active where forwarding was asked for."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from bifurk.alerts import Alert
from bifurk.forwarding.target import PREFIX, NoRunError, sentence_of

MOST_TAG_CHARACTERS: Final = 5_000
"""Of a tag's value, in every version of MLflow so far."""

_NOT_IN_KEYS: Final = re.compile(r"[^\w.:/ -]", re.ASCII)


class MlflowRun:
    """Forwards to one run by its id: which run is active is known to each thread alone."""

    name = "mlflow"

    def __init__(self) -> None:
        self._run: tuple[Any, str] | None = None

    def find(self) -> None:
        """Remembers the run that is active on this thread, and its server, unless one is."""
        # Who has an active run has imported mlflow; whoever has not is spared its import.
        mlflow = sys.modules.get("mlflow")
        if self._run is None and mlflow is not None:
            active = mlflow.active_run()
            if active is not None:
                self._run = (mlflow.MlflowClient(), active.info.run_id)

    def scalars(self, step: int, means: Mapping[str, float]) -> None:
        """See ``Target.scalars``."""
        client, run_id = self._found()
        metric = sys.modules["mlflow"].entities.Metric
        now = int(time.time() * 1_000)
        metrics = [
            metric(_NOT_IN_KEYS.sub("_", f"{PREFIX}{name}"), mean, now, step)
            for name, mean in means.items()
        ]
        client.log_batch(run_id, metrics=metrics)

    def alert(self, alert: Alert) -> None:
        """Sets the tag ``bifurk.alert.<id>``, which says how the alert stands."""
        client, run_id = self._found()
        text = sentence_of(alert)[:MOST_TAG_CHARACTERS]
        client.set_tag(run_id, f"bifurk.alert.{alert.id}", text)

    def _found(self) -> tuple[Any, str]:
        if self._run is None:
            raise NoRunError(
                "mlflow has no active run: call mlflow.start_run() before monitor.forward(),"
                " or before the first step"
            )
        return self._run
