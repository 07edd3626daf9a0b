"""A watched training in a process of its own, for faults that a process does not survive.

Prints the number of each step as it is done and, where it comes to that, the outcome's digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tests.faults.training import STEPS, Outcome, Training, encoded
from tests.server import wait_for
from tests.torch_python import TorchPython

ROOT = Path(__file__).parents[2]


class WatchedProcess:
    """The child, seen from the test.

    Args:
        run: the run's name. settings: for ``watch``; paths as text.
        steps: how many it trains. file_bytes: the largest file it may write.
        rests_at: the step after which it waits for a signal, if it does.
        ending: ``close``, ``return`` (leaves it to the interpreter), ``raise`` or ``os._exit``.
    """

    def __init__(
        self,
        run: str,
        *,
        steps: int = STEPS,
        rests_at: int | None = None,
        ending: str = "close",
        file_bytes: int | None = None,
        **settings: Any,
    ) -> None:
        told: dict[str, Any] = {"run": run, "steps": steps, "rests_at": rests_at}
        told |= {"ending": ending, "file_bytes": file_bytes}
        self.process = TorchPython(
            ["-m", __name__, json.dumps({**told, "settings": settings})], folder=ROOT
        )

    def signal_at(self, step: int, number: signal.Signals, *, once: Callable[[], object]) -> None:
        """Sends a signal when the child says that it has done this step, and something is so."""
        for line in self.process.stdout:
            if line.strip() == str(step):
                wait_for(once, "the moment of the signal")
                self.process.send_signal(number)
                return
        raise AssertionError(f"step {step} was never done:\n{self.wait()[1]}")

    def wait(self) -> tuple[str, str]:
        """The rest of what it says, and what it complains of, once it is gone."""
        return self.process.communicate()

    def digest(self) -> str:
        """The last word of a child that came to its end."""
        output, errors = self.wait()
        assert self.process.returncode == 0, errors
        return output.split()[-1]


def digest(outcome: Outcome) -> str:
    """Equal for equal outcomes, of whatever process."""
    return hashlib.sha256(pickle.dumps(asdict(outcome))).hexdigest()


def main(told: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    training = Training()
    monitor = training.watch(told["run"], **told["settings"])
    if told["file_bytes"] is not None:
        limit = told["file_bytes"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    def each_step(step: int) -> None:
        print(step, flush=True)
        if step == told["rests_at"]:
            signal.pause()

    training.run(monitor, steps=told["steps"], each_step=each_step)
    if told["ending"] == "raise":
        raise ValueError("the loss is NaN")
    if told["ending"] == "os._exit":
        encoded(monitor)
        os._exit(3)
    if told["ending"] == "close":
        monitor.close()
    print(digest(training.outcome()), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
