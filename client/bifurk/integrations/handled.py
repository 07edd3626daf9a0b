"""Which exception stopped a training, and which one it only ran inside the handling of.

A training may begin in an ``except`` block, as the fallback for another one: the exception is then
current until its end, and says nothing about it.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Final

_MARK: Final = "_bifurk_handled_around_{:x}"


def note_handled(training: object) -> None:
    """To be called at a training's steps: what is being handled now did not stop it.

    It is noted on the exception itself: keeping that would keep alive all that its frames hold.
    """
    error = sys.exception()
    if error is not None:
        with contextlib.suppress(AttributeError, TypeError):
            setattr(error, _MARK.format(id(training)), _frames(error))


def stopped_by(training: object) -> BaseException | None:
    """The exception that is on its way up now, unless it only was handled around the steps.

    One that was raised again behind the last step has passed more frames since.
    """
    error = sys.exception()
    if error is None:
        return None
    noted = getattr(error, _MARK.format(id(training)), None)
    return None if noted == _frames(error) else error


def _frames(error: BaseException) -> int:
    frames, traceback = 0, error.__traceback__
    while traceback is not None:
        frames, traceback = frames + 1, traceback.tb_next
    return frames
