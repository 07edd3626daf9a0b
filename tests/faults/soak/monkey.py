"""Lets the trainings run against a stack that is struck again and again, and watches both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import psutil  # type: ignore[import-untyped]

from tests.faults.soak.clients import OUTCOME, SPOOL, STRUCK, all_sent, records
from tests.faults.soak.network import Network
from tests.faults.soak.plan import Blow
from tests.faults.soak.stacks import Stack
from tests.faults.soak.training import CLIENTS
from tests.server import wait_for

ROOT: Final = Path(__file__).parents[3]
LOOK_SECONDS: Final = 0.2
POLL_SECONDS: Final = 0.02
STALL_SECONDS: Final = 170.0
"""Longer than a client's longest pause between two tries, and than its last wait at the close."""

NETWORK: Final = ("network", "cut")
"""A blow that no stack knows of."""


@dataclass
class Seen:
    """What was seen from outside while the trainings ran."""

    resident_bytes: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    spool_bytes: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    struck: list[Blow] = field(default_factory=list)
    network: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)


class Soak:
    """Trainings, each over a network of its own, against one stack.

    Args:
        stack: the service. folder: of the clients. steps: of each training.
        pace_seconds: a step takes at least. chance: of a fault of the network, a request.
        seed: of the networks' draws. kinds: of the trainings. settings: of the watches.
    """

    def __init__(
        self,
        stack: Stack,
        folder: Path,
        *,
        steps: int,
        pace_seconds: float,
        chance: float,
        seed: int,
        kinds: Sequence[str] = CLIENTS,
        **settings: Any,
    ) -> None:
        self._stack = stack
        self._kinds = kinds
        self._folder = folder
        self._told = {
            "folder": str(folder),
            "kinds": kinds,
            "steps": steps,
            "pace_seconds": pace_seconds,
            "settings": settings,
        }
        self._chance = chance
        self._seed = seed

    def run(self, plan: Sequence[Blow]) -> Seen:
        """Until all trainings have ended; fails where one ends badly or nothing moves any more."""
        seen = Seen()
        with ExitStack() as running:
            networks = {kind: self._network(number) for number, kind in enumerate(self._kinds)}
            for network in networks.values():
                running.callback(network.shut)
            urls = {kind: network.url for kind, network in networks.items()}
            clients = running.enter_context(_clients({**self._told, "urls": urls}))
            assert clients.stdout is not None
            started = map(int, clients.stdout.readline().split())
            processes = dict(zip(self._kinds, started, strict=True))
            looking = running.enter_context(_Looking(self._folder, processes, seen))
            for blow in plan:
                if not self._wait_for(blow.after, clients):
                    break
                self._strike(blow, networks)
                seen.struck.append(blow)
            (self._folder / STRUCK).touch()
            wait_for(lambda: clients.poll() is not None, "the end of the trainings", seconds=600)
            looking.stop()
            assert clients.returncode == 0, self._said()
            for network in networks.values():
                seen.network += network.done
        for kind in self._kinds:
            seen.outcomes[kind] = json.loads((self._folder / kind / OUTCOME).read_text())
        return seen

    def _network(self, number: int) -> Network:
        return Network(
            backend=self._stack.url, seed=1000 * self._seed + number, chance=self._chance
        )

    def _strike(self, blow: Blow, networks: dict[str, Network]) -> None:
        time.sleep(blow.moment_seconds)
        if (blow.victim, blow.kind) != NETWORK:
            self._stack.strike(blow.victim, blow.kind, blow.seconds)
            return
        cuts = [
            threading.Thread(target=network.cut, args=(blow.seconds,))
            for network in networks.values()
        ]
        for cut in cuts:
            cut.start()
        for cut in cuts:
            cut.join()

    def _wait_for(self, parts: int, clients: subprocess.Popen[str]) -> bool:
        """Until so many are acknowledged, or no more will be; False where all clients have ended.

        A blow takes long on a busy machine: meanwhile all that the next one waits for may come.
        """
        known, moved = -1, time.monotonic()
        while clients.poll() is None:
            now = sum(len(records(self._folder, kind)) for kind in self._kinds)
            if now >= parts or all(all_sent(self._folder, kind) for kind in self._kinds):
                return True
            if now > known:
                known, moved = now, time.monotonic()
            assert time.monotonic() - moved < STALL_SECONDS, f"{now} of {parts}\n{self._said()}"
            time.sleep(POLL_SECONDS)
        return False

    def _said(self) -> str:
        return "\n".join(log.read_text() for log in self._folder.glob("*/client.log"))


class _Looking:
    """Looks at the clients' memory and spools now and then, on a thread of its own."""

    def __init__(self, folder: Path, processes: dict[str, int], seen: Seen) -> None:
        self._folder = folder
        self._processes = processes
        self._seen = seen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="soak-looking", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for kind, process in self._processes.items():
                with suppress(psutil.Error):
                    resident = psutil.Process(process).memory_info().rss
                    self._seen.resident_bytes[kind].append(resident)
                self._seen.spool_bytes[kind].append(size_of(self._folder / kind / SPOOL))


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder, some of which go while it is looked through."""
    total = 0
    for root, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):
                total += (Path(root) / file).stat().st_size
    return total


@contextmanager
def _clients(told: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """The process of which the trainings are children; none of them outlives the context."""
    clients = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.soak.clients", json.dumps(told)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        yield clients
    finally:
        clients.terminate()
        clients.communicate()
