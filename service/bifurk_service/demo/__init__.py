"""The demo: a server, five small trainings through the hook, and what came of them.

Three modular-addition networks show a fork that is the optimizer's and a collapse that is
learning; two small GPTs show a fault that the loss does not.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

_NEEDED: Final = ("torch", "matplotlib")


class DemoUnavailableError(RuntimeError):
    """Something that the demo needs is not installed; the message says how to get it."""


def run(*, exit_when_done: bool, data_dir: Path, port: int | None = None) -> int:
    """Runs the demo: serves, trains, tells, draws, and goes on serving until Ctrl-C.

    Args:
        exit_when_done: end after the report instead of serving on.
        data_dir: each demo makes a folder of its own in it, for data, logs and pictures.
        port: of the server on loopback; None takes a free one.

    Returns:
        The exit code: 0 when everything the demo tells was seen, 1 when something was not or
        could not be run, 130 after Ctrl-C before the report.

    Raises:
        DemoUnavailableError: torch or matplotlib is not installed.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoUnavailableError(
            f"the demo needs {' and '.join(missing)}: pip install 'bifurk[service,demo]'"
        )
    # Only here, since it imports matplotlib, and every other command would wait for it.
    from bifurk_service.demo.conduct import conduct  # noqa: PLC0415

    return conduct(exit_when_done=exit_when_done, data_dir=data_dir, port=port)
