"""What became of a task: what it gave back, what it raised, or whose fault it is."""

from __future__ import annotations

from typing import Any, Final

from distributed.client import FutureCancelledError, FuturesCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from bifurk_service.pipeline.cluster.tasks import Raised, unpacked
from bifurk_service.pipeline.workers import WorkersAwayError, WorkersLostError

AWAY: Final = (FutureCancelledError, FuturesCancelledError, CommClosedError, OSError, TimeoutError)
"""What Dask raises when the scheduler, or the way to it, is lost."""
OTHER_CODE: Final = (ImportError, AttributeError)
"""What unpickling a task raises on a worker that has another bifurk, or none."""


async def result(future: Any) -> Any:
    """What a task gives back, once it is done.

    Raises:
        WorkersLostError: workers died over it. WorkersAwayError: the cluster is away.
        Exception: whatever the task raised.
    """
    try:
        sent = await future
    except KilledWorker as error:
        raise WorkersLostError(str(error), times=error.allowed_failures + 1) from error
    except AWAY as error:
        raise WorkersAwayError(str(error)) from error
    except OTHER_CODE as error:
        raise WorkersAwayError(f"a worker has not this server's bifurk: {error!r}") from error
    except Exception as error:
        raise WorkersLostError(f"Dask could not run it: {error!r}") from error
    given = unpacked(sent)
    if isinstance(given, Raised):
        given.error.add_note(f"on {given.host}")
        raise given.error
    return given
