"""How processes end: the state they leave behind, and what importing costs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

import bifurk
from tests.server import DEADLINE_SECONDS
from tests.torch_python import run_with_torch

SCRIPT = """
import json, sys
import torch, bifurk
from bifurk.testing import InMemoryTransport

class Telling(InMemoryTransport):
    def send(self, request, *, deadline_seconds):
        if "/parts/" not in request.path:
            print(json.loads(request.body)["state"], flush=True)
        return super().send(request, deadline_seconds=deadline_seconds)

model = torch.nn.Linear(3, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
monitor = bifurk.watch(model, optimizer, run="r", transport=Telling())
for _ in range(3):
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
"""


def states_left_by(ending: str) -> tuple[list[str], int]:
    process = run_with_torch("-c", SCRIPT + ending)
    return process.stdout.split(), process.returncode


def run(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("ending", "states", "code"),
    [
        ("", ["running", "finished"], 0),
        ("raise ValueError('diverged')", ["running", "failed"], 1),
        ("raise KeyboardInterrupt", ["running", "failed"], 130),
    ],
)
def test_an_attempt_says_how_its_process_ended(ending: str, states: list[str], code: int) -> None:
    left, returncode = states_left_by(ending)
    assert left == states
    assert returncode in (code, -2)


IN_A_FUNCTION = """
import gc, threading

class Slow(Telling):
    def send(self, request, *, deadline_seconds):
        threading.Event().wait(0.2)
        return super().send(request, deadline_seconds=deadline_seconds)

monitor.close()

def main():
    model = torch.nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = bifurk.watch(model, optimizer, run="r", transport=Slow())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return monitor

monitor = main()
gc.collect()
while not monitor.closed:
    threading.Event().wait(0.001)
"""


def test_a_process_that_ends_as_soon_as_its_optimizer_is_gone_has_finished() -> None:
    left, returncode = states_left_by(IN_A_FUNCTION)
    assert left == ["running", "finished"] * 2
    assert returncode == 0


def test_importing_bifurk_is_light() -> None:
    process = run(
        "import bifurk, json, sys; dir(bifurk);"
        "print(json.dumps([m for m in ('torch', 'numpy', 'urllib3') if m in sys.modules]))"
    )
    assert json.loads(process.stdout) == []


def test_no_module_bears_a_public_name() -> None:
    """Importing such a module would put it where the function or class belongs."""
    for name in bifurk.__all__:
        assert importlib.util.find_spec(f"bifurk.{name}") is None


def test_the_public_names_are_these() -> None:
    process = run("import bifurk; print(dir(bifurk)); bifurk.other")
    assert process.stdout.strip() == "['Alert', 'Monitor', 'WatchConfig', '__version__', 'watch']"
    assert "module 'bifurk' has no attribute 'other'" in process.stderr
