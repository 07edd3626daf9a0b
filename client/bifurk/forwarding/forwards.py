"""All that is forwarded to, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
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
        self._counting = threading.RLock()
        self._due: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()
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
            self._put(target, partial(target.scalars, step, means), values=len(means))

    def alerts(self, news: Iterable[Alert]) -> None:
        """Forwards news of alerts; returns at once."""
        for alert in news:
            for target in self._targets.values():
                self._put_alert(target, alert)

    def flush(self, deadline_seconds: float) -> bool:
        """Whether all that came so far was passed on, or refused, within ``deadline_seconds``."""
        return self._courier.flush(deadline_seconds)

    @property
    def at_work(self) -> bool:
        """Whether the caller is one of those who are told."""
        return self._courier.at_work

    def close(self, deadline_seconds: float) -> bool:
        """Whether all were told within ``deadline_seconds``; nothing is forwarded after that."""
        told = self._courier.close(deadline_seconds)
        # What closes from within has the rest of the queue still before it.
        if not self._courier.at_work:
            self._tell_losses()
        self._targets = {}
        return told

    def _put_alert(self, target: Target, alert: Alert) -> None:
        self._put(target, partial(target.alert, alert), values=1)

    def _put(self, target: Target, forward: Callable[[], None], *, values: int) -> None:
        with self._counting:
            self._due[target.name] += values
        self._courier.put(lambda: self._try(target, forward, values=values))

    def _try(self, target: Target, call: Callable[[], None], *, values: int = 0) -> None:
        try:
            call()
        except NoRunError as error:
            if target.name not in self._served:
                # There never was a place that could have had it: that is said, and all.
                self._count_passed(target, values)
                self._complain(target, f"nothing is forwarded: {error}")
        except BaseException as error:
            if not values and not isinstance(error, Exception):
                # On the user's own thread an interrupt is his.
                raise
            self._complain(target, f"forwarding to {target.name} failed", error)
        else:
            self._count_passed(target, values)
            if values:
                self._served.add(target.name)

    def _count_passed(self, target: Target, values: int) -> None:
        with self._counting:
            self._passed[target.name] += values

    def _tell_losses(self) -> None:
        for name, values in (self._due - self._passed).items():
            _log.warning(
                "%d values and alerts were not forwarded to %s: it failed, was slow, or was closed"
                " before the monitor",
                values,
                name,
            )
        self._due.clear()

    def _complain(self, target: Target, what: str, error: BaseException | None = None) -> None:
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
