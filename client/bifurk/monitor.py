"""What the training loop holds after ``watch``: the interface, and the one that does nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from bifurk.portrait import inert_html

if TYPE_CHECKING:
    from bifurk.alerts import Alert

Heard = TypeVar("Heard", bound="Callable[[Alert], Any]")

FLUSH_SECONDS: Final = 30.0
"""How long ``flush`` and ``close`` wait for the network unless told otherwise."""


class Monitor(ABC):
    """A run being watched. No method raises because of bifurk's own troubles.

    As a context manager it closes at the end of the block, as failed when the block raised.
    Copies and pickles of it do nothing: a model that holds its monitor can be copied and saved.
    """

    @abstractmethod
    def log(self, /, **scalars: object) -> None:
        """Keeps last, mean, min and max of each name until the next snapshot.

        Args:
            scalars: numbers, or tensors of one element; a tensor on a device is copied there and
                read later, so that nothing waits.
        """

    @abstractmethod
    def mark(self, kind: str, /, **details: object) -> None:
        """Notes something the run does at the present step.

        Args:
            kind: ``checkpoint`` (with ``path=``), ``evaluation``, ``resume``, ``schedule`` or a
                word of your own, at most 64 characters.
            details: texts, numbers, true or false.
        """

    @property
    @abstractmethod
    def step(self) -> int | None:
        """Optimizer steps done so far; None where nothing is watched."""

    @abstractmethod
    def set_step(self, step: int) -> None:
        """Sets the number of optimizer steps done so far, at least 0.

        Behind a snapshot that was already taken, the next step begins another attempt of the
        run: an attempt never goes back. Not if it is set again to that snapshot, or beyond.
        """

    @abstractmethod
    def on_alert(self, listener: Heard) -> Heard:
        """Has a callable told of the alerts that the server raises for this attempt.

        It is called once with each news (a new alert, another severity or state), in order, on a
        thread of its own, and with what is known already. It may take its time, and raise: that
        is logged once. Never where no server answers: offline, disabled, in a forked child.

        Args:
            listener: takes a ``bifurk.Alert``; no async function, which would never run. Kept
                until the close, with all it refers to.

        Returns:
            The callable, so that this is a decorator as well.
        """

    @abstractmethod
    def forward(self, target: object) -> None:
        """Passes on what is logged and found to a tool people look at; off unless asked for.

        Scalars go as their means at each snapshot, under ``bifurk/<name>``; alerts as a wandb
        alert, an MLflow tag or a TensorBoard text. ``docs/forwarding.md`` says where they are.

        Args:
            target: ``"wandb"`` or ``"mlflow"``, for its active run, or a TensorBoard writer:
                anything with ``add_scalar`` and ``add_text``.
        """

    @abstractmethod
    def flush(self, deadline_seconds: float = FLUSH_SECONDS) -> bool:
        """Whether all taken so far has arrived, forwards too, within ``deadline_seconds``."""

    @abstractmethod
    def close(self, deadline_seconds: float = FLUSH_SECONDS) -> None:
        """Ends the watch: unhooks, delivers for at most ``deadline_seconds``; idempotent.

        What has not arrived by then stays on disk and is sent by the next run. An end that
        another thread has begun is waited for, also that of a watch whose optimizer is gone;
        one that was interrupted is finished by the next close, or at the interpreter's exit.
        A finaliser may call this on any thread, a signal's handler wherever it finds the loop.
        """

    def __reduce__(self) -> tuple[type[InertMonitor], tuple[str]]:
        return InertMonitor, ("copies and pickles of a monitor do nothing",)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(error)

    @abstractmethod
    def _leave(self, error: BaseException | None, deadline_seconds: float = FLUSH_SECONDS) -> None:
        """Closes at the end of a ``with`` block, as failed where an error ended it."""


class InertMonitor(Monitor):
    """Does nothing: ``mode="disabled"``, and ranks that have nothing to send.

    Args:
        reason: why, for people.
    """

    def __init__(self, reason: str = "nothing is watched") -> None:
        self._reason = reason

    def __repr__(self) -> str:
        return f"<bifurk.Monitor does nothing: {self._reason}>"

    def _repr_html_(self) -> str:
        return inert_html(self._reason)

    def log(self, /, **scalars: object) -> None:
        """Does nothing."""

    def mark(self, kind: str, /, **details: object) -> None:
        """Does nothing."""

    @property
    def step(self) -> int | None:
        """Nothing is counted."""
        return None

    def set_step(self, step: int) -> None:
        """Does nothing."""

    def on_alert(self, listener: Heard) -> Heard:
        """Nothing is heard of alerts."""
        return listener

    def forward(self, target: object) -> None:
        """Does nothing."""

    def flush(self, deadline_seconds: float = FLUSH_SECONDS) -> bool:
        """Nothing is ever left to send."""
        del deadline_seconds
        return True

    def close(self, deadline_seconds: float = FLUSH_SECONDS) -> None:
        """Does nothing."""

    def _leave(self, error: BaseException | None, deadline_seconds: float = FLUSH_SECONDS) -> None:
        del error, deadline_seconds


def is_clean_exit(error: BaseException | None) -> bool:
    """Whether it only ends the process, as ``sys.exit()`` does."""
    return isinstance(error, SystemExit) and error.code in (None, 0)
