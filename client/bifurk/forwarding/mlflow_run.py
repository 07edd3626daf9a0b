"""Into the MLflow run that is active where forwarding was asked for."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bifurk.alerts import Alert
from bifurk.forwarding.mlflow_names import MlflowNames
from bifurk.forwarding.target import NoRunError, sentence_of

MOST_TAG_CHARACTERS: Final = 5_000
"""Of a tag's value, in every version of MLflow so far."""

PATIENCE_SECONDS: Final = 5.0
"""A place that takes longer to refuse is out of reach, and not asked again for every metric."""

_log = logging.getLogger("bifurk")


class MlflowRun:
    """Forwards to one run by its id: which run is active is known to each thread alone."""

    name = "mlflow"

    def __init__(self) -> None:
        self._run: tuple[Any, str] | None = None
        self._names = MlflowNames()
        self._disliked: set[str] = set()

    def find(self) -> None:
        """Remembers the run that is active on this thread, and its server, unless one is."""
        # Who has an active run has imported mlflow; whoever has not is spared its import.
        mlflow = sys.modules.get("mlflow")
        if self._run is None and mlflow is not None:
            active = mlflow.active_run()
            if active is not None:
                self._run = (mlflow.MlflowClient(), active.info.run_id)

    def scalars(self, step: int, means: Mapping[str, float]) -> None:
        """See ``Target.scalars``; one that MLflow does not like costs the others nothing."""
        self._found()
        metric = sys.modules["mlflow"].entities.Metric
        now = int(time.time() * 1_000)
        metrics = {
            name: metric(self._names.key_of(name), mean, now, step) for name, mean in means.items()
        }
        liked = {name: one for name, one in metrics.items() if name not in self._disliked}
        if liked:
            self._log_together(liked)
        for name in metrics.keys() - liked.keys():
            self._failure_of(metrics[name])

    def alert(self, alert: Alert) -> None:
        """Sets the tag ``bifurk.alert.<id>``, which says how the alert stands."""
        client, run_id = self._found()
        text = sentence_of(alert)[:MOST_TAG_CHARACTERS]
        client.set_tag(run_id, f"bifurk.alert.{alert.id}", text)

    def _log_together(self, metrics: Mapping[str, Any]) -> None:
        """Logs one batch; where that fails metric by metric, and apart ever after what fails so."""
        began = time.monotonic()
        try:
            self._log(metrics.values())
        except Exception:
            failures = {}
            for name, metric in metrics.items():
                if time.monotonic() - began > PATIENCE_SECONDS:
                    raise
                if (failure := self._failure_of(metric)) is not None:
                    failures[name] = failure
            if len(failures) == len(metrics):
                raise
            for name, failure in failures.items():
                self._disliked.add(name)
                _log.warning("MLflow does not take %.80r: %s; this is said once", name, failure)

    def _failure_of(self, metric: Any) -> Exception | None:
        try:
            self._log([metric])
        except Exception as failure:  # noqa: BLE001 - the place is foreign, and has its own errors
            return failure
        return None

    def _log(self, metrics: Iterable[Any]) -> None:
        client, run_id = self._found()
        client.log_batch(run_id, metrics=list(metrics))

    def _found(self) -> tuple[Any, str]:
        if self._run is None:
            raise NoRunError(
                "mlflow has no active run: call mlflow.start_run() before monitor.forward(),"
                " or before the first step"
            )
        return self._run
