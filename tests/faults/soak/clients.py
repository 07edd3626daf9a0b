"""The trainings, each in a process of its own, watched over a network that may do anything.

Every request that a server has acknowledged is written down as it was sent, in the order in which
the client heard of it: what the server must have, and what an undisturbed one can be given.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bifurk.record import SUFFIX, frames, read_record
from bifurk.transport import Request, Response, Urllib3Transport
from tests.faults.soak.training import Training
from tests.server import wait_for

ACKNOWLEDGED: Final = "acknowledged"
SPOOL: Final = "spool"
OUTCOME: Final = "outcome.json"
LOG: Final = "client.log"
TRAINED: Final = "trained"
"""A client's file, there once its training is over; it closes once ``STRUCK`` is there too."""
STRUCK: Final = "struck"
"""The soak's file, there once every blow has fallen."""
CLOSE_SECONDS: Final = 120.0
LAST_BLOW_SECONDS: Final = 600.0


def records(folder: Path, kind: str) -> list[Path]:
    """The files of what was acknowledged to one client, in order."""
    return sorted((folder / kind / ACKNOWLEDGED).glob(f"*{SUFFIX}"))


def all_sent(folder: Path, kind: str) -> bool:
    """Whether nothing is on its way of one client, whose training is over."""
    own = folder / kind
    return (own / TRAINED).exists() and not any((own / SPOOL).rglob(f"*{SUFFIX}"))


def acknowledged(folder: Path, kind: str) -> Iterator[Request]:
    """What was acknowledged to one client, in order."""
    return map(read_record, records(folder, kind))


class Witness:
    """Writes down what is acknowledged, between the client's sender and the network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        folder.mkdir(parents=True)

    def install(self) -> None:
        """From now on every transport of this process is watched."""
        send = Urllib3Transport.send

        def watched(
            transport: Urllib3Transport, request: Request, *, deadline_seconds: float
        ) -> Response:
            response = send(transport, request, deadline_seconds=deadline_seconds)
            if 200 <= response.status < 300:
                self._write(request)
            return response

        Urllib3Transport.send = watched  # type: ignore[method-assign]

    def _write(self, request: Request) -> None:
        self._count += 1
        aside = self._folder / f"{self._count:06d}.aside"
        aside.write_bytes(b"".join(frames(request)))
        aside.rename(aside.with_suffix(SUFFIX))


def train(kind: str, told: dict[str, Any]) -> None:
    """One client, from its start to its end."""
    folder = Path(told["folder"]) / kind
    Witness(folder / ACKNOWLEDGED).install()
    training = Training(kind, steps=told["steps"])
    monitor = training.watch(
        url=told["urls"][kind],
        spool_dir=folder / SPOOL,
        attempt="only",
        **told["settings"],
    )
    training.run(monitor, pace_seconds=told["pace_seconds"])
    (folder / TRAINED).touch()
    wait_for((folder.parent / STRUCK).exists, "the last blow", seconds=LAST_BLOW_SECONDS)
    monitor.close(CLOSE_SECONDS)
    outcome = {
        "digest": training.digest(),
        "dropped": monitor._ledger.report().dropped,  # type: ignore[attr-defined]
    }
    (folder / OUTCOME).write_text(json.dumps(outcome))


def main(told: dict[str, Any]) -> None:
    """Forks a child a training, which is cheaper than importing torch in each, and waits."""
    children = []
    for kind in told["kinds"]:
        child = os.fork()
        if child == 0:
            _live(kind, told)
        children.append(child)
    print(*children, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(child, signal.SIGKILL) for child in children])
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


def _live(kind: str, told: dict[str, Any]) -> None:
    folder = Path(told["folder"]) / kind
    folder.mkdir(parents=True)
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(log, 2)
    try:
        train(kind, told)
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
