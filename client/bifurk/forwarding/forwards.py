"""All that is forwarded to, on a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from bifurk.alerts import Alert
from bifurk.courier import Courier
from bifurk.forwarding.mlflow_run import MlflowRun
from bifurk.forwarding.target import NAMED, NoRunError, Target
from bifurk.forwarding.wandb_run import WandbRun
from bifurk.forwarding.writer import Writer
from bifurk.wire import ScalarSummary

THREAD_NAME: Final = "bifurk-forward"

_log = logging.getLogger("bifurk")


class Forwards:
    """Passes scalars and alerts on to every target, also after one of them has failed."""

    def __init__(self) -> None:
        self._targets: dict[object, Target] = {}
        self._served: set[str] = set()
        self._complained: set[str] = set()
        self._courier = Courier(THREAD_NAME, what="forwards")

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the thread so far."""
        return self._courier.cpu_seconds

    def add(self, target: object, known: Iterable[Alert]) -> None:
        """Forwards to this one from now on, what is known first; the same again changes nothing.

        Raises:
            TypeError, ValueError: it is none that can be forwarded to.
        """
        key = target if isinstance(target, str) else id(target)
        if key in self._targets:
            return
        new = as_target(target)
        # In place of the old one: the encoder's thread may be going through that.
        self._targets = {**self._targets, key: new}
        self._courier.start()
        self._try(new, new.find)
        for alert in known:
            self._put_alert(new, alert)

    def begin(self) -> None:
        """Before the first step: looks again for runs that were not there yet."""
        for target in self._targets.values():
            self._try(target, target.find)

    def scalars(self, step: int, summaries: Mapping[str, ScalarSummary]) -> None:
        """Forwards the means of what was logged; returns at once."""
        if not self._targets or not summaries:
            return
        means = {name: summary.mean for name, summary in summaries.items()}
        for target in self._targets.values():
            self._put(target, lambda target=target: target.scalars(step, means))  # type: ignore[misc]

    def alerts(self, news: Iterable[Alert]) -> None:
        """Forwards news of alerts; returns at once."""
        for alert in news:
            for target in self._targets.values():
                self._put_alert(target, alert)

    def close(self, deadline_seconds: float) -> bool:
        """Whether all were told within ``deadline_seconds``; nothing is forwarded after that."""
        told = self._courier.close(deadline_seconds)
        self._targets = {}
        return told

    def _put_alert(self, target: Target, alert: Alert) -> None:
        self._put(target, lambda: target.alert(alert))

    def _put(self, target: Target, forward: Callable[[], None]) -> None:
        self._courier.put(lambda: self._try(target, forward, serves=True))

    def _try(self, target: Target, call: Callable[[], None], *, serves: bool = False) -> None:
        try:
            call()
            if serves:
                self._served.add(target.name)
        except NoRunError as error:
            # A run that has ended before ours is no fault.
            if target.name not in self._served:
                self._complain(target, f"nothing is forwarded: {error}")
        except Exception as error:  # noqa: BLE001 - the place is foreign, the training goes on
            self._complain(target, f"forwarding to {target.name} failed", error)

    def _complain(self, target: Target, what: str, error: Exception | None = None) -> None:
        if target.name not in self._complained:
            self._complained.add(target.name)
            _log.warning("%s; this is said once", what, exc_info=error)


def as_target(target: object) -> Target:
    """What forwards to a word's or a writer's place.

    Raises:
        ValueError: the word names none. TypeError: it is no writer.
    """
    if isinstance(target, str):
        if target not in NAMED:
            raise ValueError(
                f"forward to one of {', '.join(NAMED)} or to a TensorBoard writer, got {target!r}"
            )
        return WandbRun() if target == "wandb" else MlflowRun()
    if all(callable(getattr(target, name, None)) for name in ("add_scalar", "add_text")):
        return Writer(target)
    raise TypeError(
        f"forward to one of {', '.join(map(repr, NAMED))} or to a writer with add_scalar and"
        f" add_text, got {type(target).__name__}"
    )
