"""What forwarding needs of a place that people look at, and how a place is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from bifurk.alerts import Alert

PREFIX: Final = "bifurk/"
"""Before every name, so that nothing of the user's own is touched."""

NAMED: Final = ("wandb", "mlflow")
"""Targets that a word names, because their active run can be found."""


class NoRunError(LookupError):
    """There is no active run that could be forwarded to; the message says how to have one."""


class Target(Protocol):
    """One place; called on one thread, but for ``find``.

    Every method may raise ``NoRunError``, or whatever the place raises.
    """

    name: str

    def find(self) -> None:
        """Looks for the active run; called on the user's own thread, cheaply."""
        ...

    def scalars(self, step: int, means: Mapping[str, float]) -> None:
        """Takes one mean a name, over the steps since the last snapshot."""
        ...

    def alert(self, alert: Alert) -> None:
        """Takes one news of an alert."""
        ...


def sentence_of(alert: Alert) -> str:
    """An alert in one line, with its page where that is known."""
    said = f"{alert.severity} {alert.kind} ({alert.state}): {alert.sentence}"
    return said if alert.url is None else f"{said} {alert.url}"
