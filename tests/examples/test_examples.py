"""Every example runs for a few steps, and what it posts is what its page says."""

from __future__ import annotations

import runpy
import sys
import warnings
from pathlib import Path

import pytest

from bifurk.wire import Part
from tests.attaching.launcher import Launcher
from tests.integrations.arrived import Arrived, left_in

EXAMPLES = Path(__file__).parents[2] / "examples"
STEPS = 4
UNCHANGED = "unchanged_script.py"


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIFURK_OVERHEAD_BUDGET", "none")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> Arrived:
    """What an example leaves in this folder; imported in this process, as torch takes seconds."""
    monkeypatch.setattr(sys, "argv", [name, "--steps", str(STEPS), *arguments])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return left_in(Path("bifurk"))


@pytest.mark.parametrize(
    ("name", "scalar"),
    [
        ("plain_loop.py", "loss"),
        ("grokking.py", "test_accuracy"),
        ("transformers_causal_lm.py", "train_loss"),
        ("lightning_digits.py", "train_loss"),
        ("accelerate_digits.py", "loss"),
    ],
)
def test_an_example_is_watched_from_its_start_to_its_end(
    name: str, scalar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = run(monkeypatch, name)
    assert left.steps == [0, 1, 2, 4]
    assert {project for project, _ in left.runs} == {"examples"}
    assert left.scalar(scalar)
    assert left.state == "finished"


def parts_of(left: Arrived, run_name: str) -> list[Part]:
    return [part for part in left.parts if part.manifest.run.startswith(run_name)]


def weights_of(part: Part) -> list[bytes]:
    """The exact ones: of every tensor the biases, or the sample."""
    exact = [tensor.values or tensor.sample for tensor in part.tensors]
    return [one.data.tobytes() for one in exact if one is not None]


def test_of_a_fine_tuned_model_the_adapters_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    left = run(monkeypatch, "peft_lora.py")
    base, adapted = (
        {tensor.name for part in parts_of(left, run_name) for tensor in part.tensors}
        for run_name in ("base-", "adapted-")
    )
    assert base
    assert not any("lora" in name for name in base)
    assert adapted
    assert all("lora_A" in name or "lora_B" in name for name in adapted)


def test_the_control_of_grokking_starts_alike_and_learns_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(monkeypatch, "grokking.py", "--run", "true")
    left = run(monkeypatch, "grokking.py", "--run", "shuffled", "--shuffled")
    true, shuffled = (parts_of(left, name) for name in ("true", "shuffled"))
    assert weights_of(true[0]) == weights_of(shuffled[0])
    assert weights_of(true[-1]) != weights_of(shuffled[-1])


def test_a_script_that_knows_nothing_is_watched(launcher: Launcher) -> None:
    command = [sys.executable, str(EXAMPLES / UNCHANGED), "--steps", str(STEPS)]
    watched = launcher.watched(*command, options=["--every", "2"])
    assert "bifurk" not in "".join(
        line for line in (EXAMPLES / UNCHANGED).read_text().splitlines() if "import" in line
    )
    assert watched.stdout.startswith(f"step {STEPS}: loss ")
    assert watched.left.steps == [0, 1, 2, 4]


def test_no_example_is_left_out() -> None:
    run_here = {
        "plain_loop.py", "grokking.py", "transformers_causal_lm.py", "lightning_digits.py",
        "accelerate_digits.py", "peft_lora.py", UNCHANGED,
    }  # fmt: skip
    assert {path.name for path in EXAMPLES.glob("*.py")} == run_here
