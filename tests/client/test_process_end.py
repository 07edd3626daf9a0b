"""Children of multiprocessing that train: how each ended is told, however it was started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import DEADLINE_SECONDS
from tests.torch_python import run_with_torch

SCRIPT = """
import json, multiprocessing, sys
import torch, bifurk
from bifurk.testing import InMemoryTransport

class Telling(InMemoryTransport):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def send(self, request, *, deadline_seconds):
        said = request.path.rsplit("/", 3)[1:]
        if "/parts/" not in request.path:
            body = json.loads(request.body)
            said = [body["state"], *(mark["kind"] for mark in body["marks"])]
            said += [mark["details"].get("type") for mark in body["marks"]]
        print(json.dumps([self.name, said]), flush=True)
        return super().send(request, deadline_seconds=deadline_seconds)

def train(name, ending):
    model = torch.nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = bifurk.watch(model, optimizer, run="r", transport=Telling(name))
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    try:
        if ending != "none":
            raise ValueError("diverged")
    except ValueError:
        if ending == "raised":
            raise
        sys.exit(1)

def start(method, ending):
    process = multiprocessing.get_context(method).Process(
        target=train, args=(f"{method} {ending}", ending)
    )
    process.start()
    process.join()

if __name__ == "__main__":
    torch.set_num_threads(1)
    for ending in ("none", "raised", "left"):
        start("fork", ending)
    start("spawn", "raised")
    try:
        raise ValueError("the parent's")
    except ValueError:
        start("fork", "none")
"""

PARTS = [["0", "parts", "0"], ["1", "parts", "0"]]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """By child what it sent: the snapshots' paths, the states and the marks of errors."""
    script = tmp_path_factory.mktemp("children") / "train.py"
    script.write_text(SCRIPT)
    lines = _output_of(script).splitlines()
    told: dict[str, list[list[str]]] = {}
    for name, what in map(json.loads, lines):
        told.setdefault(name, []).append(what)
    return told


def test_a_forked_child_that_is_done_has_sent_everything_and_finished(
    said: dict[str, list[list[str]]],
) -> None:
    assert said["fork none"] == [["running"], *PARTS, ["finished"]] * 2, "in a handler as well"


@pytest.mark.parametrize("child", ["fork raised", "spawn raised", "fork left"])
def test_a_child_that_an_error_ends_has_failed_of_it(
    child: str, said: dict[str, list[list[str]]]
) -> None:
    assert said[child] == [["running"], *PARTS, ["failed", "exception", "ValueError"]]


AT_EXIT = """
import gc, sys
from bifurk.process_end import ProcessEnd

def ended(error):
    left = [one for one in gc.get_objects() if isinstance(one, SystemExit)]
    print([error, *sys.exc_info(), *left])

sys.excepthook = lambda *error: print("heard of", error)
end = ProcessEnd(ended)
raise SystemExit(3)
"""


def test_python_tells_nobody_the_code_that_ends_its_main_process(tmp_path: Path) -> None:
    """Why it counts as finished; the day this fails, ``ProcessEnd`` can do better."""
    script = tmp_path / "train.py"
    script.write_text(AT_EXIT)
    process = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert process.returncode == 3
    assert process.stdout == f"{[None] * 4}\n"


def _output_of(script: Path) -> str:
    process = run_with_torch("-m", script.stem, folder=script.parent)
    assert process.returncode == 0, process.stderr
    return process.stdout
