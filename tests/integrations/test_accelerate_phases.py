"""An accelerator's life between trainings: other models, other optimizers, steps back."""

from __future__ import annotations

import copy
import gc
import json
import logging
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import find_executable_batch_size
from torch import nn

from bifurk.integrations.accelerate import BifurkTracker
from bifurk.testing import InMemoryTransport
from tests.integrations.arrived import Arrived, arrived
from tests.integrations.test_accelerate import state_of_its_own  # noqa: F401

EVERY = {"every": 1, "overhead_budget": None}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Training:
    """A tracked accelerator, and what it posted."""

    def __init__(self, *, run: str | None = "r", **settings: Any) -> None:
        if run is not None:
            settings["run"] = run
        self.transport = InMemoryTransport()
        self.tracker = BifurkTracker(transport=self.transport, **(EVERY | settings))
        self.accelerator = Accelerator(cpu=True, log_with=self.tracker)
        self.accelerator.init_trackers("project")

    def prepared(self, rate: float = 0.01) -> tuple[nn.Module, torch.optim.Optimizer]:
        model = nn.Linear(3, 3)
        made = self.accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=rate))
        return made[0], made[1]

    def step(self, model: nn.Module, optimizer: torch.optim.Optimizer, times: int = 1) -> None:
        for _ in range(times):
            optimizer.zero_grad()
            loss = model(torch.ones(2, 3)).pow(2).sum()
            self.accelerator.backward(loss)
            optimizer.step()
            self.accelerator.log({"loss": loss})

    def end(self) -> Arrived:
        self.accelerator.end_training()
        return arrived(self.transport)

    def ends(self) -> list[str]:
        return [str(one["state"]) for one in self.transport.states() if one["state"] != "running"]


def test_a_model_given_up_is_free_and_the_next_one_is_an_attempt_of_its_own() -> None:
    training = Training()
    model, optimizer = training.prepared()
    training.step(model, optimizer, 2)
    gone = weakref.ref(model)
    model, optimizer = training.accelerator.free_memory(model, optimizer)
    gc.collect()
    assert gone() is None
    training.accelerator.log({"between": 1.0})
    training.step(*training.prepared(), 3)
    seen = training.end()
    assert seen.steps == [0, 1, 2, 0, 1, 2, 3]
    assert len(seen.attempts) == 2
    assert training.ends() == ["finished", "finished"]
    assert seen.scalar("between") == [1.0]
    assert seen.marks("schedule") == []


def test_models_joined_under_their_names_are_free_too() -> None:
    training = Training()
    (one, first), (other, second) = training.prepared(), training.prepared()
    for _ in range(2):
        training.step(one, first)
        training.step(other, second)
    gone = [weakref.ref(one), weakref.ref(other)]
    one, first, other, second = training.accelerator.free_memory(one, first, other, second)
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    assert training.end().steps == [0, 1, 2]


def test_a_search_for_the_batch_size_is_watched_in_each_of_its_tries() -> None:
    training = Training()

    @find_executable_batch_size(starting_batch_size=8)  # type: ignore[untyped-decorator]
    def search(batch_size: int) -> None:
        training.accelerator.free_memory()
        model, optimizer = training.prepared()
        training.step(model, optimizer, 2)
        if batch_size == 8:
            raise RuntimeError("CUDA out of memory.")
        training.step(model, optimizer, 2)

    search()
    seen = training.end()
    assert seen.steps == [0, 1, 2, 0, 1, 2, 3, 4]
    assert seen.state == "finished"


def test_a_second_phase_s_optimizer_becomes_the_clock() -> None:
    training = Training()
    model, optimizer = training.prepared()
    training.step(model, optimizer, 2)
    second = training.accelerator.prepare(torch.optim.AdamW(model.parameters(), lr=0.01))
    training.step(model, second, 3)
    seen = training.end()
    assert seen.steps == [0, 1, 2, 0, 1, 2, 3]
    assert [part.manifest.optimizer for part in seen.parts] == ["SGD"] * 3 + ["AdamW"] * 4


def test_a_clock_that_stands_still_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bifurk.integrations.clock.SILENT_STEPS", 3)
    training = Training()
    first, second = training.prepared(), training.prepared()
    training.step(*first)
    training.step(*second, 5)
    # The step that says so is the fourth without the clock.
    assert training.end().steps == [0, 1, 0, 1, 2]


def test_optimizers_in_turns_begin_no_attempt_for_each_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.disable(logging.NOTSET)
    training = Training()
    model, first = training.prepared()
    second = training.accelerator.prepare(torch.optim.SGD(model.parameters(), lr=0.1))
    for _ in range(4):
        training.step(model, first)
        training.step(model, second)
    seen = training.end()
    assert len(seen.attempts) == 2
    told = [one for one in caplog.messages if "are not counted" in one]
    assert len(told) == 1


def test_what_prepared_optimizers_do_not_train_is_tried_once(production_wall: None) -> None:
    training = Training()
    training.accelerator.prepare(nn.Linear(2, 2))
    alone = training.accelerator.prepare(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1))
    for _ in range(3):
        alone.step()
    repeats = training.tracker._companion._wall._repeats
    assert sum(repeats.values()) == 1
    training.tracker.finish()


def fail() -> None:
    raise RuntimeError("out of memory")


def test_a_fallback_for_a_failure_is_told_as_what_it_became() -> None:
    training = Training()
    try:
        fail()
    except RuntimeError:
        training.step(*training.prepared(), 2)
        seen = training.end()
    assert (seen.state, seen.marks("exception")) == ("finished", [])


def test_a_failure_raised_again_behind_the_last_step_is_one() -> None:
    training = Training()

    def fall_back() -> None:
        try:
            fail()
        except RuntimeError:
            training.step(*training.prepared(), 2)
            raise

    try:
        fall_back()
    except RuntimeError:
        assert training.end().state == "failed"


def save(training: Training, folder: Path) -> str:
    training.accelerator.save_state(str(folder))
    return str(folder)


def test_a_memory_left_from_other_weights_is_none(tmp_path: Path) -> None:
    training = Training()
    model, optimizer = training.prepared()
    training.step(model, optimizer, 3)
    folder = save(training, tmp_path)
    training.end()

    def resumed() -> Arrived:
        later = Training()
        model, optimizer = later.prepared()
        later.accelerator.load_state(folder)
        later.step(model, optimizer)
        return later.end()

    assert resumed().steps == [3, 4]
    without = Accelerator(cpu=True)
    model = nn.Linear(3, 3)
    without.prepare(model, torch.optim.SGD(model.parameters()))
    without.save_state(folder)
    assert json.loads((tmp_path / "bifurk.json").read_text())["step"] == 3
    seen = resumed()
    assert seen.steps == [0, 1]
    assert [mark.details["path"] for mark in seen.marks("resume")] == [folder]


def test_a_step_back_is_a_new_attempt_from_there(tmp_path: Path) -> None:
    training = Training()
    model, optimizer = training.prepared()
    training.step(model, optimizer, 2)
    folder = save(training, tmp_path)
    training.step(model, optimizer, 3)
    training.accelerator.load_state(folder)
    training.step(model, optimizer, 2)
    seen = training.end()
    assert seen.steps == [0, 1, 2, 3, 4, 5, 2, 3, 4]
    assert [part.manifest.attempt for part in seen.parts] == (
        [seen.attempts[0]] * 6 + [seen.attempts[1]] * 3
    )
    [mark] = seen.marks("resume")
    assert (mark.step, mark.details["path"]) == (2, folder)
    assert training.ends() == ["finished", "finished"]


def test_a_resumed_run_stays_the_same_run_in_later_phases(tmp_path: Path) -> None:
    training = Training()
    model, optimizer = training.prepared()
    training.step(model, optimizer)
    folder = save(training, tmp_path)
    training.end()
    later = Training(run=None)
    model, optimizer = later.prepared()
    later.accelerator.load_state(folder)
    later.step(model, optimizer)
    (tmp_path / "bifurk.json").unlink()
    later.accelerator.load_state(folder)  # SGD counts nothing: the steps go on
    later.step(model, optimizer)
    later.accelerator.free_memory()
    later.step(*later.prepared())
    seen = later.end()
    assert seen.runs == {("default", "r")}
    assert seen.steps == [1, 2, 2, 3, 0, 1]


def test_the_best_checkpoint_loaded_at_the_end_loses_nothing(tmp_path: Path) -> None:
    training = Training()
    model, optimizer = training.prepared()
    training.step(model, optimizer, 2)
    training.accelerator.load_state(save(training, tmp_path))
    training.accelerator.log({"test_accuracy": 0.5})
    seen = training.end()
    assert (len(seen.attempts), seen.scalar("test_accuracy")) == (1, [0.5])


def test_a_folder_saved_before_a_phase_s_first_step_remembers_no_other_phase(
    tmp_path: Path,
) -> None:
    training = Training()
    model, optimizer = training.prepared()
    training.step(model, optimizer)
    model, optimizer = training.accelerator.free_memory(model, optimizer)
    training.prepared()
    save(training, tmp_path)
    training.end()
    assert not (tmp_path / "bifurk.json").exists()


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *((name, True) for name in ("eval_loss", "val/acc", "validation", "test.f1", "loss/val")),
        *((name, False) for name in ("value_loss", "evaluated", "testing", "grad_max_val")),
    ],
)
def test_an_evaluation_is_known_by_a_word(name: str, is_one: bool) -> None:
    training = Training()
    training.step(*training.prepared())
    training.accelerator.log({name: 2.0})
    expected = [{name: 2.0}] if is_one else []
    assert [mark.details for mark in training.end().marks("evaluation")] == expected


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_and_pickles_of_a_used_tracker_start_anew(
    tmp_path: Path, again: Callable[[BifurkTracker], BifurkTracker]
) -> None:
    training = Training(offline_dir=tmp_path)
    training.step(*training.prepared())
    made = again(training.tracker)
    assert training.end().steps == [0, 1]
    assert made.tracker.step is None
    later = Accelerator(cpu=True, log_with=made)
    later.init_trackers("again")
    model = nn.Linear(2, 2)
    model, optimizer = later.prepare(model, torch.optim.SGD(model.parameters()))
    later.backward(model(torch.ones(1, 2)).sum())
    optimizer.step()
    assert made.tracker.step == 1
    later.end_training()


def test_odd_values_logged_early_do_not_keep_a_training_from_its_beginning(
    production_wall: None,
) -> None:
    class Hostile:
        def numel(self) -> int:
            raise RuntimeError("not now")

    training = Training()
    training.accelerator.log({"self": 1.0, 7: 2.0, "odd": Hostile()})
    training.step(*training.prepared(), 2)
    seen = training.end()
    assert (seen.steps, seen.state) == ([0, 1, 2], "finished")
    assert len(seen.scalar("grad_norm")) == 1
