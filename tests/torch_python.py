"""`python` with torch loaded, forked from an interpreter that has imported it.

To import torch, and what it imports when the first optimizer is made, takes four seconds each time.
What begins before torch is imported, as ``bifurk run`` does, wants an interpreter of its own.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Final

ROOT: Final = Path(__file__).parents[1]
MOST_BYTES: Final = 1 << 16
"""Of an order: arguments and the environment."""


class TorchPython:
    """A running `python -c` or `python -m`, as far as it is used like ``subprocess.Popen``.

    Args:
        arguments: from `-c` or `-m` on. folder: where it runs, this process's own unless given.
        environment: all of its variables, this process's unless given.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        order = {
            "arguments": list(arguments),
            "folder": str(folder or Path.cwd()),
            "environment": dict(environment or os.environ),
        }
        read, write = os.pipe()
        told, tell = os.pipe()
        self._errors: IO[str] = os.fdopen(os.memfd_create("errors"), "w+")
        given = [write, self._errors.fileno(), tell]
        socket.send_fds(_ordering(), [json.dumps(order).encode()], given)
        os.close(write)
        os.close(tell)
        self.stdout: IO[str] = os.fdopen(read)
        self._told: IO[str] = os.fdopen(told)
        self.pid = int(self._told.readline())
        self.returncode: int | None = None

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit status once it has ended, or the signal that ended it, negative."""
        if self.returncode is None:
            self.returncode = int(self._told.readline())
            self._told.close()
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """The rest of what it says, and what it complains of, once it has ended."""
        output = self.stdout.read()
        self.stdout.close()
        self.wait()
        self._errors.seek(0)
        errors = self._errors.read()
        self._errors.close()
        return output, errors


def run_with_torch(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What comes of one, as of ``subprocess.run``."""
    process = TorchPython(arguments, folder=folder)
    output, errors = process.communicate()
    return subprocess.CompletedProcess([*arguments], process.wait(), output, errors)


@functools.cache
def _ordering() -> socket.socket:
    """Leads to the one that forks, which is ended with this process."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    forking = subprocess.Popen(
        [sys.executable, "-m", __name__, str(there.fileno())],
        pass_fds=[there.fileno()],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    there.close()

    def end() -> None:
        here.close()
        forking.wait()

    atexit.register(end)
    return here


def _order_in_child(orders: socket.socket) -> dict[str, Any]:
    """Forks for each order, and returns in the child, which has become what was ordered."""
    minders: list[int] = []
    while True:
        message, given, _, _ = socket.recv_fds(orders, MOST_BYTES, 3)
        if not message:
            os._exit(0)
        minders = [one for one in minders if os.waitpid(one, os.WNOHANG) == (0, 0)]
        minders.append(os.fork())
        if minders[-1] == 0:
            orders.close()
            _mind(*given)
            return dict(json.loads(message))
        for file in given:
            os.close(file)


def _mind(output: int, errors: int, tell: int) -> None:
    """Forks once more, and returns in the child; the parent tells what became of it."""
    child = os.fork()
    if child == 0:
        # Also where the tests run in the background of a shell that lets nobody interrupt them.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        for file in (output, errors, tell):
            os.close(file)
        return
    os.close(output)
    os.close(errors)
    # What is meant for all of a terminal's processes is no end of who minds.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(tell, b"%d\n" % child)
    os.write(tell, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)


def _become(order: dict[str, Any]) -> tuple[str, str]:
    """Takes over what was ordered: `-c` or `-m`, and what of it to run."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    kind, what, *rest = order["arguments"]
    sys.argv = [kind, *rest]
    sys.path[0] = order["folder"]
    return kind, what


if __name__ == "__main__":
    gc.disable()
    importlib.import_module("torch._dynamo")

    gc.freeze()
    gc.enable()
    _kind, _what = _become(_order_in_child(socket.socket(fileno=int(sys.argv[1]))))
    if _kind == "-m":
        runpy.run_module(_what, run_name="__main__", alter_sys=True)
    else:
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(_what, "<string>", "exec"), vars(sys.modules["__main__"]))
