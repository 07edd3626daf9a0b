"""A loop of one's own under Accelerate: with the tracker it trains as without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bifurk.integrations.accelerate import BifurkTracker
from bifurk.testing import InMemoryTransport
from tests.integrations.arrived import (
    KILLED,
    alarms_at,
    arrived,
    assert_equal_statistics,
    in_children,
    left_in,
    measured,
    of_checkpoints,
)
from tests.pipeline.house import House

EVERY = {"every": 2, "log_start": False, "overhead_budget": None}
CLIPPED_TO = 0.01

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def state_of_its_own() -> Iterator[None]:
    """Accelerate keeps one state for a process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="module")
def digits() -> TensorDataset:
    images, labels = load_digits(return_X_y=True)
    return TensorDataset(
        torch.tensor(images[:256] / 16, dtype=torch.float32), torch.tensor(labels[:256])
    )


def network() -> nn.Sequential:
    """One matrix that travels as counts, the rest exactly."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Dropout(0.1), nn.Linear(300, 10))


def train(
    digits: TensorDataset,
    tracker: BifurkTracker | None = None,
    *,
    steps: int = 6,
    save: Path | None = None,
    save_every: int = 2,
    resume: Path | None = None,
    at: Any = lambda step: None,
    accumulate: int = 1,
    early: bool = False,
    compiled: bool = False,
    **arguments: Any,
) -> tuple[nn.Module, list[float]]:
    """A loop as Accelerate's examples write it; ``early`` asks for trackers before ``prepare``."""
    accelerator = Accelerator(
        cpu=True,
        log_with=tracker,
        gradient_accumulation_steps=accumulate,
        step_scheduler_with_optimizer=False,
        **arguments,
    )
    if tracker is not None and early:
        accelerator.init_trackers("digits", config={"lr": 1e-3, "seed": 5})
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100)
    if compiled:
        model = torch.compile(model, backend="eager")
        optimizer.step = torch.compile(optimizer.step, backend="eager")
    loader = DataLoader(digits, batch_size=32)
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    if tracker is not None and not early:
        accelerator.init_trackers("digits", config={"lr": 1e-3, "seed": 5})
    step = 0
    if resume is not None:
        accelerator.load_state(str(resume))
        step = int(resume.name.rpartition("-")[2])
    losses: list[float] = []
    while step < steps:
        for images, labels in loader:
            with accelerator.accumulate(model):
                loss = nn.functional.cross_entropy(model(images), labels)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), CLIPPED_TO)
                optimizer.step()
                if accelerator.sync_gradients:
                    schedule.step()
                optimizer.zero_grad()
            losses.append(loss.item())
            if not accelerator.sync_gradients:
                continue
            step += 1
            accelerator.log({"loss": loss, "val_loss": loss.item() / 2, "note": "text"}, step=step)
            if save is not None and step % save_every == 0:
                accelerator.save_state(str(save / f"step-{step}"))
            at(step)
            if step == steps:
                break
    accelerator.end_training()
    return accelerator.unwrap_model(model, keep_torch_compile=False), losses


VARIANTS: dict[str, dict[str, Any]] = {
    "accumulating": {"accumulate": 2},
    "compiled, in bfloat16": {"compiled": True, "mixed_precision": "bf16", "early": True},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_training_is_the_same_and_its_snapshots_are_the_checkpoints(
    tmp_path: Path, house: House, digits: TensorDataset, variant: dict[str, Any]
) -> None:
    expected, plain = train(digits, **variant)
    transport = InMemoryTransport()
    tracker = BifurkTracker(transport=transport, run="digits", **EVERY)
    got, losses = train(digits, tracker, save=tmp_path, **variant)
    assert losses == plain
    assert all(
        torch.equal(one, other)
        for one, other in zip(got.parameters(), expected.parameters(), strict=True)
    )
    seen = arrived(transport)
    assert (seen.steps, seen.state) == ([0, 2, 4, 6], "finished")
    assert seen.runs == {("default", "digits")}
    assert [t.name for t in seen.parts[0].tensors] == [n for n, _ in network().named_parameters()]
    saved = {step: load_file(tmp_path / f"step-{step}" / "model.safetensors") for step in (2, 4, 6)}
    reference = of_checkpoints(seen.parts, {0: network().state_dict(), **saved})
    assert assert_equal_statistics(house, seen.parts, reference) > 300


def test_what_is_logged_saved_and_configured_comes_along(
    tmp_path: Path, digits: TensorDataset
) -> None:
    transport = InMemoryTransport()
    tracker = BifurkTracker(transport=transport, project="images", **EVERY)
    _, losses = train(digits, tracker, save=tmp_path)
    seen = arrived(transport)
    [(project, run)] = seen.runs
    assert project == "images"
    assert run.startswith("Sequential-")
    [start] = seen.marks("start")
    assert (start.step, start.details["lr"], start.details["seed"]) == (0, 1e-3, 5)
    assert [m.details for m in seen.marks("schedule")] == [{"scheduler": "StepLR"}]
    # What is logged behind a step comes with the next snapshot.
    assert seen.scalar("loss") == pytest.approx([losses[n] for n in (0, 2, 4, 5)])
    assert seen.count("loss") == 6
    assert [mark.step for mark in seen.marks("evaluation")] == [1, 2, 3, 4, 5, 6]
    assert seen.marks("evaluation")[0].details == {"val_loss": losses[0] / 2}
    checkpoints = [(mark.step, mark.details["path"]) for mark in seen.marks("checkpoint")]
    assert checkpoints == [(n, str(tmp_path / f"step-{n}")) for n in (2, 4, 6)]
    # Nobody logs the gradient's norm: the tracker measures it now and then, as it is stepped with.
    assert seen.scalar("grad_norm") == pytest.approx([CLIPPED_TO], rel=1e-3)
    assert json.loads((tmp_path / "step-4" / "bifurk.json").read_text())["step"] == 4


def test_an_exception_that_is_caught_ends_the_run_with_the_tracker(digits: TensorDataset) -> None:
    def diverge(step: int) -> None:
        if step == 3:
            raise ValueError("diverged")

    def script() -> None:
        try:
            train(digits, tracker, at=diverge)
        finally:
            tracker.finish()  # as `accelerator.end_training()` calls it

    transport = InMemoryTransport()
    tracker = BifurkTracker(transport=transport, run="digits", **EVERY)
    with pytest.raises(ValueError, match="diverged"):
        script()
    seen = arrived(transport)
    assert seen.state == "failed"
    [mark] = seen.marks("exception")
    assert (mark.step, mark.details["message"]) == (3, "diverged")


def test_a_killed_training_leaves_what_it_had(tmp_path: Path, digits: TensorDataset) -> None:
    import os
    import signal

    def kill(step: int) -> None:
        if step == 3:
            tracker.tracker.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    tracker = BifurkTracker(offline_dir=tmp_path, run="digits", **EVERY)
    assert in_children(1, lambda _: train(digits, tracker, at=kill)) == [KILLED]
    seen = left_in(tmp_path)
    assert (seen.steps, seen.state) == ([0, 2], "running")


def test_a_resume_goes_on_with_the_same_run_in_a_new_attempt(
    tmp_path: Path, house: House, digits: TensorDataset
) -> None:
    transport = InMemoryTransport()

    def tracking() -> BifurkTracker:
        return BifurkTracker(transport=transport, **(EVERY | {"every": 1}))

    def tracked(**arguments: Any) -> None:
        tracker = tracking()
        # A machine that is busy elsewhere would cost a snapshot.
        train(digits, tracker, at=lambda _: tracker.tracker.flush(), **arguments)

    tracked(steps=13, save=tmp_path, save_every=10)
    path = tmp_path / "step-10"
    tracked(steps=26, resume=path)
    seen = arrived(transport)
    assert len(seen.runs) == 1
    one, other = seen.attempts
    assert [p.manifest.step for p in seen.parts] == [*range(14), *range(10, 27)]
    assert [p.manifest.attempt for p in seen.parts] == [one] * 14 + [other] * 17
    [mark] = seen.marks("resume")
    assert (mark.step, mark.details["path"]) == (10, str(path))
    measured(house, seen.parts)
    assert alarms_at(house, other, seam=10) == []


class Generator(nn.Linear):
    pass


class Critic(nn.Linear):
    pass


def test_two_models_are_watched_under_their_names() -> None:
    transport = InMemoryTransport()
    accelerator = Accelerator(
        cpu=True, log_with=BifurkTracker(transport=transport, run="gan", **EVERY)
    )
    models = [Generator(3, 4), Critic(4, 1), Critic(4, 2)]
    optimizers = [torch.optim.Adam(model.parameters()) for model in models]
    average = nn.Linear(3, 4).requires_grad_(requires_grad=False)
    made = accelerator.prepare(*models, average, *optimizers)
    accelerator.init_trackers("gan")
    for _ in range(2):
        hidden = made[0](torch.ones(2, 3))
        accelerator.backward(made[1](hidden).sum() + made[2](hidden).sum())
        for optimizer in made[4:]:
            optimizer.step()
            optimizer.zero_grad()
    accelerator.end_training()
    seen = arrived(transport)
    assert seen.steps == [0, 2]
    assert [tensor.name for tensor in seen.parts[0].tensors] == [
        f"{name}.{leaf}"
        for name in ("generator", "critic", "critic_2")
        for leaf in ("weight", "bias")
    ]
    assert seen.parts[0].manifest.optimizer == "Adam x3"


def test_a_tracker_that_cannot_find_its_accelerator_is_told_it(
    digits: TensorDataset, production_wall: None
) -> None:
    transport = InMemoryTransport()
    tracker = BifurkTracker(transport=transport, run="digits", **EVERY)
    tracker.start()  # by nobody that has one
    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(model := network(), torch.optim.SGD(model.parameters()))
    tracker.attach(accelerator)
    accelerator.backward(model(torch.ones(1, 64)).sum())
    optimizer.step()
    tracker.finish()
    assert arrived(transport).steps == [0]


def test_steps_of_other_optimizers_are_not_its_own() -> None:
    transport = InMemoryTransport()
    accelerator = Accelerator(cpu=True, log_with=BifurkTracker(transport=transport, **EVERY))
    accelerator.init_trackers("none")
    other = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    other(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    accelerator.end_training()
    assert transport.requests == []
