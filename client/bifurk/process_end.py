"""Hears of the process's end, and of the error that ends it."""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.util
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bifurk.monitor import is_clean_exit

CHILD_CODE: Final = "_bootstrap"
"""The function of multiprocessing's that everything in a child of it runs in."""

CHILD_PRIORITY: Final = 100
"""Among what multiprocessing does at a child's end: before pools (15) and managers (0) go."""


class ProcessEnd:
    """Calls ``ended`` when the process ends, until removed.

    A child of multiprocessing that was forked leaves without ``atexit``, and in every child of it
    what ended the training is caught before the interpreter could remember it.

    Args:
        ended: given the error that nobody caught, or None; perhaps more than once.
    """

    def __init__(self, ended: Callable[[BaseException | None], None]) -> None:
        self._ended = ended
        self._before = _last_error()
        atexit.register(self._at_exit)
        self._child_end: multiprocessing.util.Finalize | None = None
        if multiprocessing.parent_process() is not None:
            # Undocumented; without it a child ends as it did before.
            with suppress(AttributeError, TypeError, ValueError):
                self._child_end = multiprocessing.util.Finalize(
                    None, self._at_child_end, exitpriority=CHILD_PRIORITY
                )

    def remove(self) -> None:
        """Hears no more; idempotent."""
        atexit.unregister(self._at_exit)
        if self._child_end is not None:
            self._child_end.cancel()

    def _at_exit(self) -> None:
        error = _last_error()
        self._ended(None if error is self._before else error)

    def _at_child_end(self) -> None:
        self._ended(_childs_error(sys.exc_info()[1]))


def _childs_error(error: BaseException | None) -> BaseException | None:
    """The error, where the child is ending with it; one that a parent handles came with the fork.

    Of a ``sys.exit(1)`` the error in whose handling it was called, as by ``torch.multiprocessing``.
    """
    trace = None if error is None else error.__traceback__
    if trace is None or trace.tb_frame.f_code.co_name != CHILD_CODE or is_clean_exit(error):
        return None
    context = error.__context__ if isinstance(error, SystemExit) else None
    return context or error


def _last_error() -> BaseException | None:
    """The last exception nobody caught, as the interpreter keeps it for debuggers.

    At an interactive prompt it is some earlier line's, and says nothing about the run.
    """
    if hasattr(sys, "ps1"):
        return None
    error: BaseException | None = getattr(sys, "last_value", None)
    return error
