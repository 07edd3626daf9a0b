"""Duties that know nothing of each other: what fails keeps none of the others from being done."""

from __future__ import annotations

from collections.abc import Callable, Iterator


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
