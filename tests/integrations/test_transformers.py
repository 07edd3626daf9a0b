"""Hugging Face's Trainer on the licence's bytes: with the callback it trains as without."""

from __future__ import annotations

import inspect
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (
    EarlyStoppingCallback,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from bifurk.integrations.companion import Companion
from bifurk.integrations.transformers import BifurkCallback
from bifurk.testing import InMemoryTransport
from bifurk_service.domain import AttemptState
from bifurk_service.store.models import Attempt
from tests.integrations.arrived import (
    KILLED,
    Arrived,
    alarms_at,
    arrived,
    assert_equal_statistics,
    in_children,
    left_in,
    lose_the_silent,
    measured,
    of_checkpoints,
)
from tests.pipeline.house import House
from tests.ports import own_port

BLOCK = 16
BYTES = (Path(__file__).parents[2] / "LICENSE").read_bytes()
WINDOWS = [torch.tensor(list(BYTES[at : at + BLOCK])) for at in range(0, 64 * BLOCK, BLOCK)]
DATA = [{"input_ids": window, "labels": window} for window in WINDOWS]
EVERY = {"every": 2, "log_start": False, "overhead_budget": None}

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*pin_memory",
    "ignore:The .grad attribute of a Tensor that is not a leaf",  # while dynamo traces the loss
    "ignore::FutureWarning",
    "ignore::DeprecationWarning",
)


def small_gpt(layers: int = 2) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=600,  # one matrix travels as counts, the rest exactly
            n_positions=BLOCK,
            n_embd=32,
            n_layer=layers,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def new_trainer(
    folder: Path,
    *callbacks: TrainerCallback,
    model: Any = None,
    kind: type[Trainer] = Trainer,
    **arguments: Any,
) -> Trainer:
    settings = {
        "max_steps": 6,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "save_steps": 2,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 1,
        "seed": 3,
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        **arguments,
    }
    trainer = kind(
        model or small_gpt(),
        TrainingArguments(output_dir=str(folder), **settings),
        train_dataset=DATA,
        eval_dataset=DATA[:8],
        callbacks=list(callbacks),
    )
    trainer.pop_callback(printer())
    return trainer


def printer() -> Any:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def losses(trainer: Trainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def same_weights(one: Trainer, other: Trainer) -> bool:
    mine, theirs = weights(one), weights(other)
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


VARIANTS: dict[str, dict[str, Any]] = {
    "accumulating, activations anew": {
        "gradient_accumulation_steps": 2,
        "gradient_checkpointing": True,
        "max_grad_norm": 0.1,
    },
    "compiled, in bfloat16": {
        "torch_compile": True,
        "torch_compile_backend": "eager",
        "bf16": True,
    },
}


@pytest.mark.parametrize("arguments", VARIANTS.values(), ids=VARIANTS)
def test_a_training_is_the_same_and_its_snapshots_are_the_checkpoints(
    tmp_path: Path, house: House, arguments: dict[str, Any]
) -> None:
    plain = new_trainer(tmp_path / "plain", model=small_gpt(1), **arguments)
    plain.train()
    transport = InMemoryTransport()
    watching = BifurkCallback(transport=transport, **EVERY)
    watched = new_trainer(tmp_path / "watched", watching, model=small_gpt(1), **arguments)
    watched.train()
    assert losses(watched) == losses(plain)
    assert same_weights(watched, plain)

    seen = arrived(transport)
    assert seen.steps == [0, 2, 4, 6]
    assert seen.state == "finished"
    names = [name for name, _ in watched.model.named_parameters()]
    assert [tensor.name for tensor in seen.parts[0].tensors] == names
    saved = {step: load_file(saved_weights(tmp_path, step)) for step in (2, 4, 6)}
    start = dict(small_gpt(1).named_parameters())
    reference = of_checkpoints(seen.parts, {0: start, **saved})
    assert assert_equal_statistics(house, seen.parts, reference) > 1_000
    assert seen.scalar("loss") == by_snapshot(losses(plain))
    assert seen.count("loss") == 6


def saved_weights(folder: Path, step: int) -> Path:
    return folder / "watched" / f"checkpoint-{step}" / "model.safetensors"


def test_what_the_trainer_knows_comes_along(tmp_path: Path) -> None:
    transport = InMemoryTransport()
    trainer = new_trainer(
        tmp_path / "out",
        BifurkCallback(transport=transport, **EVERY),
        run_name="Größe 1",
        project="language",
        gradient_accumulation_steps=2,
        eval_strategy="steps",
        eval_steps=3,
        include_num_input_tokens_seen="all",
    )
    trainer.train()
    seen = arrived(transport)
    [(project, run)] = seen.runs
    assert project == "language"
    assert re.fullmatch(r"Groe-1-[0-9a-f]{8}", run)
    assert seen.parts[0].manifest.display_name == "Größe 1"
    [start] = seen.marks("start")
    assert start.step == 0
    assert (start.details["seed"], start.details["gradient_accumulation_steps"]) == (3, 2)
    [schedule] = seen.marks("schedule")
    assert schedule.details == {"scheduler": "cosine", "warmup_steps": 1, "max_steps": 6}
    evaluations = seen.marks("evaluation")
    assert [mark.step for mark in evaluations] == [3, 6]
    told = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert [m.details["eval_loss"] for m in evaluations] == [one["eval_loss"] for one in told]
    assert not any(name.endswith("_runtime") for name in evaluations[0].details)
    checkpoints = [(mark.step, mark.details["path"]) for mark in seen.marks("checkpoint")]
    assert checkpoints == [(n, str(tmp_path / "out" / f"checkpoint-{n}")) for n in (2, 4, 6)]
    logged = {name: [e[name] for e in trainer.state.log_history if name in e] for name in NAMES}
    assert seen.scalar("grad_norm") == by_snapshot(logged["grad_norm"])
    assert seen.scalar("epoch")[-1] == trainer.state.epoch
    # Two batches of four windows a step.
    assert seen.scalar("tokens") == by_snapshot([128.0 * step for step in range(1, 7)])
    assert [part.manifest.learning_rates[0] for part in seen.parts[1:]] == pytest.approx(
        logged["learning_rate"][1::2]
    )
    assert seen.parts[0].manifest.optimizer == "AdamW"
    assert seen.parts[0].manifest.client["transformers"]


NAMES = ("grad_norm", "learning_rate")


def by_snapshot(logged: list[float]) -> list[float]:
    """The last of six steps' values before the snapshots 2, 4 and 6, and before the end.

    The trainer logs a step's values when it is over and its snapshot taken.
    """
    return [logged[0], logged[2], logged[4], logged[5]]


def test_of_times_only_the_trainers_own_are_left_out(tmp_path: Path) -> None:
    class Timing(Trainer):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            if self.model.training:
                self.log({"first_token_time": 2.0, "train_kernel_runtime": 3.0, "self": 4.0})
            return super().compute_loss(*args, **kwargs)

    class Evaluating(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 1:
                trainer.evaluate(metric_key_prefix="valid")

    transport = InMemoryTransport()
    watching = BifurkCallback(transport=transport, **EVERY)
    trainer = new_trainer(tmp_path, watching, Evaluating(), kind=Timing, max_steps=2)
    trainer.train()
    seen = arrived(transport)
    own = {"first_token_time", "train_kernel_runtime", "self"}
    usual = {"epoch", "loss", "grad_norm", "train_loss", "valid_loss"}
    names = {name for part in seen.parts for name in part.manifest.scalars}
    assert names | set(seen.reports[-1]["scalars"]) == own | usual
    [mark] = seen.marks("evaluation")
    assert set(mark.details) == {"epoch", "valid_loss"}
    assert seen.count("first_token_time") == 2


class Raising(TrainerCallback):
    def __init__(self, error: BaseException, at: int = 3) -> None:
        self.error, self.at = error, at

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.at:
            raise self.error


ENDS = [
    (ValueError("diverged"), "exception", {"type": "ValueError", "message": "diverged"}),
    (KeyboardInterrupt(), "interrupted", {}),
]


@pytest.mark.parametrize(("error", "kind", "details"), ENDS)
def test_an_exception_that_is_caught_ends_the_run_at_once(
    tmp_path: Path, error: BaseException, kind: str, details: dict[str, str]
) -> None:
    transport = InMemoryTransport()
    watching = BifurkCallback(transport=transport, **EVERY)
    trainer = new_trainer(tmp_path, watching, Raising(error))
    with pytest.raises(type(error)) as raised:
        trainer.train()
    assert raised.value is error
    seen = arrived(transport)
    assert seen.state == "failed"
    [mark] = seen.marks(kind)
    assert (mark.step, mark.details) == (3, details)
    # The same trainer may go on: a new attempt of the same run.
    trainer.pop_callback(Raising)
    trainer.train()
    again = arrived(transport)
    assert again.state == "finished"
    assert len(again.attempts) == 2
    assert len(again.runs) == 1


def test_a_killed_training_is_lost(tmp_path: Path, house: House) -> None:
    class Killing(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3:
                watching._companion.monitor.flush()
                os.kill(os.getpid(), signal.SIGKILL)

    watching = BifurkCallback(offline_dir=tmp_path / "bifurk", **EVERY)
    assert in_children(1, lambda _: new_trainer(tmp_path, watching, Killing()).train()) == [KILLED]
    seen = left_in(tmp_path / "bifurk")
    assert (seen.steps, seen.state) == ([0, 2], "running")
    measured(house, seen.parts)
    lose_the_silent(house, now=time.time() + 86_400)
    with house.database.read() as session:
        assert session.get_one(Attempt, 1).state == AttemptState.LOST.value


def test_a_resume_goes_on_with_the_same_run_in_a_new_attempt(tmp_path: Path, house: House) -> None:
    transport = InMemoryTransport()
    length = {"max_steps": 26, "save_steps": 10}

    class Flushing(BifurkCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            super().on_step_end(*args, **kwargs)
            # A machine that is busy elsewhere would cost a snapshot.
            self._companion.monitor.flush()

    def watching() -> BifurkCallback:
        return Flushing(transport=transport, include="*.h.0.attn.*", **(EVERY | {"every": 1}))

    whole = new_trainer(tmp_path / "whole", **length)
    whole.train()
    cut = Raising(RuntimeError("preempted"), at=13)
    first = new_trainer(tmp_path / "out", watching(), cut, **length)
    with pytest.raises(RuntimeError):
        first.train()
    second = new_trainer(tmp_path / "out", watching(), **length)
    second.train(resume_from_checkpoint=True)
    assert same_weights(second, whole)

    seen = arrived(transport)
    [(_, run)] = seen.runs
    assert run.startswith("out-")
    one, other = seen.attempts
    assert [p.manifest.step for p in seen.parts] == [*range(14), *range(10, 27)]
    assert [p.manifest.attempt for p in seen.parts] == [one] * 14 + [other] * 17
    [mark] = seen.marks("resume")
    assert (mark.step, mark.details["trainer_step"]) == (10, 10)
    measured(house, seen.parts)
    assert alarms_at(house, other, seam=10) == []


def test_a_checkpoint_written_without_bifurk_gives_the_step(tmp_path: Path) -> None:
    new_trainer(tmp_path, optim="sgd").train()
    transport = InMemoryTransport()
    more = new_trainer(
        tmp_path, BifurkCallback(transport=transport, **EVERY), max_steps=10, optim="sgd"
    )
    more.train(resume_from_checkpoint=True)
    assert arrived(transport).steps == [6, 8, 10]


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_steps_trained_unwatched_since_are_counted(tmp_path: Path, mode: str | None) -> None:
    transport = InMemoryTransport()

    def trained(steps: int, *callbacks: TrainerCallback, resume: bool = True) -> None:
        trainer = new_trainer(tmp_path / "out", *callbacks, max_steps=steps)
        trainer.train(resume_from_checkpoint=resume)

    trained(4, BifurkCallback(transport=transport, **EVERY), resume=False)
    trained(6, *([BifurkCallback(mode="disabled")] if mode else []))
    trained(8, BifurkCallback(transport=transport, **EVERY))
    seen = arrived(transport)
    assert seen.steps == [0, 2, 4, 6, 8]
    assert len(seen.runs) == 1
    [mark] = seen.marks("resume")
    path = str(tmp_path / "out" / "checkpoint-6")
    assert (mark.step, mark.details) == (6, {"path": path, "trainer_step": 6})


def test_a_new_name_is_a_new_run_and_the_old_one_keeps_its_own(tmp_path: Path) -> None:
    def trained(steps: int, name: str | None, resume: Path | None = None) -> Arrived:
        transport = InMemoryTransport()
        watching = BifurkCallback(transport=transport, **EVERY)
        trainer = new_trainer(tmp_path, watching, max_steps=steps, run_name=name)
        trainer.train(resume_from_checkpoint=resume)
        return arrived(transport)

    trained(2, "first")
    path = tmp_path / "checkpoint-2"
    for name, run, whose in (
        ("second", "second", {"run": "first"}),
        ("first", "first", {}),
        (None, "first", {}),
    ):
        seen = trained(4, name, path)
        assert seen.runs == {("default", run)}
        assert {part.manifest.display_name for part in seen.parts} == {name}
        assert seen.steps == [2, 4]
        [mark] = seen.marks("resume")
        assert mark.details == {"path": str(path), "trainer_step": 2, **whose}


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused"])
def test_steps_that_the_scaler_skips_do_not_count(tmp_path: Path, optim: str) -> None:
    transport = InMemoryTransport()

    def scaled(steps: int) -> Trainer:
        callback = BifurkCallback(transport=transport, **(EVERY | {"every": 1}))
        trainer = new_trainer(tmp_path, callback, max_steps=steps, save_steps=8, optim=optim)
        trainer.accelerator.scaler = torch.amp.GradScaler("cpu")
        return trainer

    first = scaled(8)
    overflowing = iter([False, True, True, False, False, True, False, False])
    first.model.transformer.wpe.weight.register_hook(
        lambda gradient: gradient * (torch.inf if next(overflowing) else 1.0)
    )
    first.train()
    assert first.state.global_step == 8
    assert max(int(state["step"]) for state in first.optimizer.state.values()) == 5
    seen = arrived(transport)
    assert seen.steps == [0, 1, 2, 3, 4, 5]
    [mark] = seen.marks("checkpoint")
    assert (mark.step, mark.details["trainer_step"]) == (5, 8)
    # The next attempt goes on where the weights are, not where the trainer's counter is.
    scaled(10).train(resume_from_checkpoint=True)
    again = arrived(transport)
    assert again.steps == [0, 1, 2, 3, 4, 5, 5, 6, 7]
    assert again.marks("resume")[0].step == 5


def test_a_compiled_step_counts_and_an_early_stop_is_an_end(tmp_path: Path) -> None:
    class Compiling(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **found: Any) -> None:
            optimizer = found["optimizer"].optimizer
            optimizer.step = torch.compile(optimizer.step, backend="eager")

    transport = InMemoryTransport()
    trainer = new_trainer(
        tmp_path,
        BifurkCallback(transport=transport, **EVERY),
        Compiling(),
        EarlyStoppingCallback(early_stopping_patience=2),
        eval_strategy="steps",
        eval_steps=2,
        max_steps=20,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=True,  # of a loss that falls: stops after the third
    )
    trainer.train()
    seen = arrived(transport)
    assert (seen.steps, seen.state) == ([0, 2, 4, 6], "finished")


def test_two_processes_post_once(tmp_path: Path) -> None:
    def rank(number: int) -> None:
        os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": "2"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        callback = BifurkCallback(offline_dir=tmp_path / "bifurk", **EVERY)
        trainer = new_trainer(tmp_path / "out", callback, ddp_backend="gloo")
        trainer.train()
        os._exit(0)  # gloo's own threads may hang where a forked process takes them down

    port = str(own_port())
    assert in_children(2, rank) == [0, 0]
    seen = left_in(tmp_path / "bifurk")
    assert (seen.steps, seen.state, len(seen.attempts)) == ([0, 2, 4, 6], "finished", 1)
    assert seen.marks("start")[0].details["processes"] == 2
    saved = load_file(tmp_path / "out" / "checkpoint-6" / "model.safetensors")
    last = {tensor.name: tensor for tensor in seen.parts[-1].tensors}
    assert set(last) == {name for name, _ in small_gpt().named_parameters()}
    exact = [name for name, tensor in last.items() if tensor.values is not None]
    for name in exact:
        assert last[name].values.data.tobytes() == saved[name].numpy().tobytes()
    assert len(exact) > 20


def test_adapters_are_watched_and_the_frozen_base_is_not(tmp_path: Path, house: House) -> None:
    torch.manual_seed(1)
    model = get_peft_model(
        small_gpt(),
        LoraConfig(r=4, lora_alpha=6, target_modules=["c_attn"], fan_in_fan_out=True),
    )
    transport = InMemoryTransport()
    trainer = new_trainer(tmp_path, BifurkCallback(transport=transport, **EVERY), model=model)
    trainer.train()
    seen = arrived(transport)
    assert seen.steps == [0, 2, 4, 6]
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert [tensor.name for tensor in seen.parts[0].tensors] == trained
    assert len(trained) == 4
    assert {(t.layer, t.role) for t in seen.parts[0].tensors} == {
        (0, "attention.qkv"),
        (1, "attention.qkv"),
    }
    saved = load_file(tmp_path / "checkpoint-6" / "adapter_model.safetensors")
    last = {tensor.name: tensor for tensor in seen.parts[-1].tensors}
    for name in trained:
        written = saved[name.replace(".default", "")]
        assert last[name].values.data.tobytes() == written.contiguous().numpy().tobytes()

    # The update of the frozen matrix, which peft builds here and bifurk does not.
    stored = measured(house, seen.parts)
    attempt = seen.attempts[0]
    for layer in (0, 1):
        matrix = model.base_model.model.transformer.h[layer].attn.c_attn
        update = matrix.get_delta_weight("default").detach().double().numpy()
        singular = np.linalg.svd(update, compute_uv=False)[:4]
        name = f"base_model.model.transformer.h.{layer}.attn.c_attn.lora_B.default.weight[product]"
        first, row = stored[attempt, name, 0], stored[attempt, name, 6]
        assert row["spectral_norm"] == pytest.approx(singular[0], rel=1e-5)
        assert row["l2_norm"] == pytest.approx(np.linalg.norm(update), rel=1e-5)
        ranks = (singular**2).sum() / singular[0] ** 2
        assert row["stable_rank"] == pytest.approx(ranks, rel=1e-5)
        assert first["spectral_norm"] is None  # the left factor begins at zero


def test_a_wrong_setting_raises_when_the_callback_is_made() -> None:
    with pytest.raises(ValueError, match="every must be a whole number"):
        BifurkCallback(every=0)
    with pytest.raises(TypeError, match="did you mean 'every'"):
        BifurkCallback(evry=2)


def test_what_fails_in_us_stays_with_us(
    tmp_path: Path, production_wall: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of ours")

    for name in ("log", "mark", "memory", "evaluated"):
        monkeypatch.setattr(Companion, name, fail)
    transport = InMemoryTransport()
    trainer = new_trainer(tmp_path, BifurkCallback(transport=transport, **EVERY))
    trainer.train()
    seen = arrived(transport)
    assert (seen.steps, seen.state) == ([0, 2, 4, 6], "finished")


def test_training_is_wrapped_once_and_looks_as_before() -> None:
    wrapped = Trainer.train
    BifurkCallback()
    assert Trainer.train is wrapped
    assert list(inspect.signature(wrapped).parameters)[:2] == ["self", "resume_from_checkpoint"]


def test_a_model_that_cannot_be_watched_trains_on(tmp_path: Path, production_wall: None) -> None:
    transport = InMemoryTransport()
    trainer = new_trainer(tmp_path, BifurkCallback(transport=transport, include="nothing.*"))
    trainer.train()
    assert trainer.state.global_step == 6
    assert transport.requests == []
