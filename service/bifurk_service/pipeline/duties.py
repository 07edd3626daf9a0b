"""Duties that know nothing of each other: what fails keeps none of the others from being done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from bifurk_service.errors import StorageError

log = logging.getLogger("bifurk.service")


def do_each(*duties: Callable[[], object]) -> None:
    """Does all of them in their order, whatever becomes of those before.

    Raises:
        Exception: what the only one that failed has raised; of several a group of theirs.
    """
    troubles: list[Exception] = []
    for duty in duties:
        try:
            duty()
        except Exception as error:  # noqa: BLE001 - raised when all are done
            troubles.append(error)
    if len(troubles) > 1:
        raise ExceptionGroup(f"{len(troubles)} duties failed", troubles)
    if troubles:
        raise troubles[0]


def singly(error: Exception) -> Iterator[Exception]:
    """What a group holds, and groups in it, one after the other; an error alone is itself."""
    if isinstance(error, ExceptionGroup):
        for one in error.exceptions:
            yield from singly(one)
    else:
        yield error


def unless_it_fails(duty: Callable[[], object]) -> bool:
    """Whether a duty of the pipeline went well; its thread ends for nothing."""
    try:
        duty()
    except Exception as error:  # noqa: BLE001 - told, one line a trouble
        _tell(error)
        return False
    return True


def _tell(error: Exception) -> None:
    """Storage that is away once, however many duties met it; of a fault all that is known."""
    troubles = list(singly(error))
    away = [one.detail for one in troubles if isinstance(one, StorageError)]
    for detail in dict.fromkeys(away):
        log.warning("the pipeline waits for storage: %s", detail)
    for one in troubles:
        if not isinstance(one, StorageError):
            log.error("the pipeline met an error and goes on", exc_info=one)
