"""Lightning's Trainer on handwritten digits: with the callback it trains as without."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.precision import MixedPrecision
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bifurk.integrations import lightning as integration
from bifurk.integrations.lightning import BifurkCallback
from bifurk.testing import InMemoryTransport
from bifurk_service.domain import AttemptState
from bifurk_service.store.models import Attempt
from tests.integrations.arrived import (
    KILLED,
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

EVERY = {"every": 2, "log_start": False, "overhead_budget": None}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*log_every_n_steps"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
    pytest.mark.filterwarnings("ignore:.*have no `validation_step`"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable"),
    pytest.mark.filterwarnings("ignore:You are trying to `self.log"),
    pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def digits() -> TensorDataset:
    images, labels = load_digits(return_X_y=True)
    return TensorDataset(
        torch.tensor(images[:256] / 16, dtype=torch.float32), torch.tensor(labels[:256])
    )


BARE = {
    "barebones": True,
    "log_every_n_steps": None,
    "enable_checkpointing": None,
    "logger": None,
    "num_sanity_val_steps": None,
    "enable_progress_bar": None,
    "enable_model_summary": None,
}


class Digits(LightningModule):
    """One matrix that travels as counts, the rest exactly."""

    def __init__(self, kind: type[torch.optim.Optimizer] = torch.optim.AdamW) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.backbone = nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(300, 10)
        self.seen: list[float] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))

    def training_step(self, batch: Any, number: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]).float(), batch[1])
        self.log("train_loss", loss)
        self.seen.append(loss.item())
        return loss

    def validation_step(self, batch: Any, number: int) -> None:
        scores = self(batch[0]).float()
        self.log("val_loss", nn.functional.cross_entropy(scores, batch[1]))
        self.log("val_accuracy", (scores.argmax(1) == batch[1]).float().mean())

    def test_step(self, batch: Any, number: int) -> None:
        self.validation_step(batch, number)

    def configure_optimizers(self) -> Any:
        optimizer = self.kind((p for p in self.parameters() if p.requires_grad), lr=1e-3)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def saving(folder: Path, every: int = 2) -> ModelCheckpoint:
    return ModelCheckpoint(
        folder, filename="{step}", every_n_train_steps=every, save_top_k=-1, save_last=False
    )


def fit(
    module: LightningModule, digits: TensorDataset, *callbacks: Callback, **arguments: Any
) -> Trainer:
    resumed = arguments.pop("ckpt_path", None)
    settings = {
        "max_steps": 6,
        "logger": False,
        "enable_checkpointing": any(isinstance(one, ModelCheckpoint) for one in callbacks),
        "accelerator": "cpu",
        "devices": 1,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **arguments,
    }
    trainer = Trainer(callbacks=list(callbacks), **settings)
    seed_everything(3, verbose=False)
    loader = DataLoader(digits, batch_size=32, shuffle=True)
    trainer.fit(module, loader, DataLoader(digits, batch_size=128), ckpt_path=resumed)
    return trainer


def saved_at(folder: Path, step: int) -> dict[str, Any]:
    return dict(torch.load(folder / f"step={step}.ckpt", weights_only=True))


VARIANTS: dict[str, dict[str, Any]] = {
    "accumulating, clipped": {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1},
    "compiled, in bfloat16": {"precision": "bf16-mixed"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_is_the_same_and_its_snapshots_are_the_checkpoints(
    tmp_path: Path, house: House, digits: TensorDataset, variant: str
) -> None:
    arguments = VARIANTS[variant]

    def module() -> Digits:
        made = Digits()
        if "compiled" in variant:
            made.backbone = torch.compile(made.backbone, backend="eager")  # type: ignore[assignment]
        return made

    plain = fit(module(), digits, **arguments)
    transport = InMemoryTransport()
    watching = BifurkCallback(transport=transport, **EVERY)
    watched = fit(module(), digits, watching, saving(tmp_path), **arguments)
    expected, got = plain.lightning_module, watched.lightning_module
    assert got.seen == expected.seen
    assert all(
        torch.equal(one, other)
        for one, other in zip(got.parameters(), expected.parameters(), strict=True)
    )

    seen = arrived(transport)
    assert (seen.steps, seen.state) == ([0, 2, 4, 6], "finished")
    assert [t.name for t in seen.parts[0].tensors] == [n for n, _ in Digits().named_parameters()]
    saved = {step: saved_at(tmp_path, step)["state_dict"] for step in (2, 4, 6)}
    reference = of_checkpoints(seen.parts, {0: Digits().state_dict(), **saved})
    assert assert_equal_statistics(house, seen.parts, reference) > 300
    # Every batch's loss, as the module returned it. A batch's is told behind the step it takes.
    assert seen.count("loss") == len(got.seen)
    per_step = len(got.seen) // 6
    second = seen.parts[1].manifest.scalars["loss"]
    assert second.count == per_step
    assert second.last == pytest.approx(got.seen[2 * per_step - 2], rel=1e-6)


def test_what_the_trainer_knows_comes_along(tmp_path: Path, digits: TensorDataset) -> None:
    transport = InMemoryTransport()
    norms = []

    class Norms(Callback):
        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
            gradients = [p.grad for p in module.parameters()]
            norms.append(torch.nn.utils.get_total_norm(gradients).item())

    trainer = fit(
        Digits(),
        digits,
        BifurkCallback(transport=transport, project="digits", **EVERY),
        Norms(),
        saving(tmp_path / "saved"),
        logger=CSVLogger(tmp_path, name="Ziffern é", version=4),
        limit_val_batches=2,
        val_check_interval=3,
        num_sanity_val_steps=2,
        gradient_clip_val=0.01,
    )
    seen = arrived(transport)
    [(project, run)] = seen.runs
    assert project == "digits"
    assert re.fullmatch(r"Ziffern-e-version_4-[0-9a-f]{8}", run)
    assert seen.parts[0].manifest.display_name == "Ziffern é-version_4"
    [start] = seen.marks("start")
    assert (start.step, start.details["seed"], start.details["gradient_clip_val"]) == (0, "3", 0.01)
    [schedule] = seen.marks("schedule")
    assert schedule.details == {"scheduler": "StepLR", "interval": "step", "max_steps": 6}
    evaluations = seen.marks("evaluation")
    assert [mark.step for mark in evaluations] == [3, 6]
    last = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert set(evaluations[0].details) == {"epoch", "val_loss", "val_accuracy"}
    assert evaluations[1].details["val_accuracy"] == last["val_accuracy"]
    assert evaluations[1].details["val_loss"] != evaluations[0].details["val_loss"]
    assert seen.scalar("val_loss")[-1] == last["val_loss"]
    checkpoints = [(mark.step, mark.details["path"]) for mark in seen.marks("checkpoint")]
    assert checkpoints == [(n, str(tmp_path / "saved" / f"step={n}.ckpt")) for n in (2, 4, 6)]
    # Measured before the step, so that those of both steps before a snapshot are in it.
    told = [part.manifest.scalars["grad_norm"] for part in seen.parts[1:]]
    assert [one.last for one in told] == pytest.approx(norms[1::2], rel=1e-5)
    assert [one.count for one in told] == [2, 2, 2]
    assert seen.scalar("train_loss") == seen.scalar("loss")
    assert [p.manifest.learning_rates[0] for p in seen.parts] == pytest.approx(
        [1e-3, 1e-3, 9e-4, 9e-4]
    )
    assert seen.parts[0].manifest.client["lightning"]


class Raising(Callback):
    def __init__(self, error: BaseException, at: int = 3) -> None:
        self.error, self.at = error, at

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
        if trainer.global_step == self.at:
            raise self.error


@pytest.mark.parametrize(
    ("error", "raised", "kind"),
    [
        (ValueError("diverged"), ValueError, "exception"),
        (KeyboardInterrupt(), SystemExit, "interrupted"),
    ],
)
def test_an_exception_that_is_caught_ends_the_run_at_once(
    digits: TensorDataset, error: BaseException, raised: type[BaseException], kind: str
) -> None:
    transport = InMemoryTransport()
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(raised):
            fit(Digits(), digits, BifurkCallback(transport=transport, **EVERY), Raising(error))
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored
    seen = arrived(transport)
    assert seen.state == "failed"
    [mark] = seen.marks(kind)
    assert mark.step == 3
    assert mark.details.get("message", "diverged") == "diverged"


def test_an_early_stop_is_an_end(digits: TensorDataset) -> None:
    transport = InMemoryTransport()
    stop = EarlyStopping("val_accuracy", mode="min", patience=1, verbose=False)
    fit(
        Digits(),
        digits,
        BifurkCallback(transport=transport, **EVERY),
        stop,
        max_steps=40,
        val_check_interval=2,
        limit_val_batches=2,
    )
    seen = arrived(transport)
    assert seen.state == "finished"
    assert seen.steps[-1] < 40


def test_a_killed_training_is_lost(tmp_path: Path, house: House, digits: TensorDataset) -> None:
    class Killing(Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
            if trainer.global_step == 3:
                watching._companion.monitor.flush()
                os.kill(os.getpid(), signal.SIGKILL)

    watching = BifurkCallback(offline_dir=tmp_path, **EVERY)
    assert in_children(1, lambda _: fit(Digits(), digits, watching, Killing())) == [KILLED]
    seen = left_in(tmp_path)
    assert (seen.steps, seen.state) == ([0, 2], "running")
    measured(house, seen.parts)
    lose_the_silent(house, now=time.time() + 86_400)
    with house.database.read() as session:
        assert session.get_one(Attempt, 1).state == AttemptState.LOST.value


def test_a_resume_goes_on_with_the_same_run_in_a_new_attempt(
    tmp_path: Path, house: House, digits: TensorDataset
) -> None:
    transport = InMemoryTransport()

    class Flushing(BifurkCallback):
        def on_train_batch_start(self, *args: Any) -> None:
            super().on_train_batch_start(*args)
            # A machine that is busy elsewhere would cost a snapshot.
            self._companion.monitor.flush()

        @property
        def state_key(self) -> str:
            return "BifurkCallback"

    def watching() -> BifurkCallback:
        return Flushing(transport=transport, **(EVERY | {"every": 1}))

    cut = Raising(RuntimeError("preempted"), at=13)
    with pytest.raises(RuntimeError):
        fit(Digits(), digits, watching(), saving(tmp_path, every=10), cut, max_steps=26)
    path = tmp_path / "step=10.ckpt"
    fit(Digits(), digits, watching(), max_steps=26, ckpt_path=path)
    seen = arrived(transport)
    [(_, run)] = seen.runs
    assert run.startswith("Digits-")
    one, other = seen.attempts
    assert [p.manifest.step for p in seen.parts] == [*range(14), *range(10, 27)]
    assert [p.manifest.attempt for p in seen.parts] == [one] * 14 + [other] * 17
    [mark] = seen.marks("resume")
    assert (mark.step, mark.details["path"]) == (10, str(path))
    measured(house, seen.parts)
    assert alarms_at(house, other, seam=10) == []


def test_a_checkpoint_written_without_bifurk_gives_the_step(
    tmp_path: Path, digits: TensorDataset
) -> None:
    fit(Digits(torch.optim.SGD), digits, saving(tmp_path, every=6))
    transport = InMemoryTransport()
    watching = BifurkCallback(transport=transport, **EVERY)
    path = tmp_path / "step=6.ckpt"
    fit(Digits(torch.optim.SGD), digits, watching, max_steps=10, ckpt_path=path)
    assert arrived(transport).steps == [6, 8, 10]


def test_steps_that_the_scaler_skips_do_not_count(tmp_path: Path, digits: TensorDataset) -> None:
    transport = InMemoryTransport()
    overflowing = iter([False, True, True, False, False, True, False, False])
    module = Digits()
    module.head.bias.register_hook(
        lambda gradient: gradient * (torch.inf if next(overflowing) else 1.0)
    )
    plugin = MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu"))
    trainer = fit(
        module,
        digits,
        BifurkCallback(transport=transport, **(EVERY | {"every": 1})),
        saving(tmp_path, every=8),
        max_steps=8,
        plugins=[plugin],
    )
    assert trainer.global_step == 8
    seen = arrived(transport)
    assert seen.steps == [0, 1, 2, 3, 4, 5]
    [mark] = seen.marks("checkpoint")
    assert (mark.step, mark.details["trainer_step"]) == (5, 8)


class Adversaries(LightningModule):
    """Two optimizers, stepped by hand, in a batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.automatic_optimization = False
        self.generator = nn.Linear(8, 64)
        self.critic = nn.Linear(64, 1)
        self.seen: list[float] = []

    def training_step(self, batch: Any, number: int) -> dict[str, torch.Tensor]:
        generating, judging = self.optimizers()
        made = self.generator(torch.randn(len(batch[0]), 8))
        loss = -self.critic(made).mean()
        self.toggle_optimizer(generating)
        generating.zero_grad()
        self.manual_backward(loss)
        generating.step()
        self.untoggle_optimizer(generating)
        self.toggle_optimizer(judging)
        judged = self.critic(made.detach()).mean() - self.critic(batch[0]).mean()
        judging.zero_grad()
        self.manual_backward(judged)
        judging.step()
        self.untoggle_optimizer(judging)
        self.seen.append(loss.item())
        return {"loss": loss.detach()}

    def configure_optimizers(self) -> Any:
        return [
            torch.optim.Adam(self.generator.parameters(), lr=1e-3),
            torch.optim.RMSprop(self.critic.parameters(), lr=1e-2),
        ]


def test_of_two_optimizers_the_first_is_the_clock(tmp_path: Path, digits: TensorDataset) -> None:
    transport = InMemoryTransport()
    plain = fit(Adversaries(), digits, max_steps=12)
    trainer = fit(
        Adversaries(),
        digits,
        BifurkCallback(transport=transport, **EVERY),
        saving(tmp_path, every=6),
        max_steps=12,  # Lightning counts both
    )
    assert trainer.lightning_module.seen == plain.lightning_module.seen
    seen = arrived(transport)
    assert seen.steps == [0, 2, 4, 6]
    # While one trains, the other is frozen for a moment, and still the same tensors are watched.
    names = [name for name, _ in Adversaries().named_parameters()]
    assert [[t.name for t in part.tensors] for part in seen.parts] == [names] * 4
    assert seen.parts[-1].manifest.optimizer == "Adam+RMSprop"
    assert seen.parts[-1].manifest.learning_rates == (1e-3, 1e-2)
    [first, second] = seen.marks("checkpoint")
    assert (first.step, first.details["trainer_step"]) == (3, 6)
    assert (second.step, second.details["trainer_step"]) == (6, 12)
    assert seen.scalar("grad_norm.1")


@pytest.mark.parametrize(("often", "counts"), [(50, 1), (4, 3)])
def test_every_optimizers_gradient_is_measured_as_often(
    digits: TensorDataset, often: int, counts: int
) -> None:
    transport = InMemoryTransport()
    watching = BifurkCallback(transport=transport, **EVERY)
    fit(Adversaries(), digits, watching, max_steps=18, log_every_n_steps=often)
    seen = arrived(transport)  # of nine steps each
    assert [seen.count(name) for name in ("grad_norm", "grad_norm.1")] == [counts, counts]


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ({"log_every_n_steps": 0}, {}),
        (BARE, {}),
        ({}, {"mode": "disabled"}),
        ({}, {"include": "nothing.*"}),
    ],
)
def test_where_nobody_reads_them_no_norms_are_measured(
    digits: TensorDataset,
    production_wall: None,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    measured: list[Any] = []
    monkeypatch.setattr(integration, "gradient_norm", measured.append)
    watching = BifurkCallback(transport=InMemoryTransport(), **EVERY, **settings)
    trained = fit(Digits(), digits, watching, **arguments)
    assert trained.global_step == 6
    assert measured == []
    fit(Digits(), digits, BifurkCallback(transport=InMemoryTransport(), **EVERY))
    assert len(measured) == 6


@pytest.mark.parametrize("restoring", ["validate", "test"])
def test_what_is_restored_outside_a_fit_is_no_fits_memory(
    tmp_path: Path, digits: TensorDataset, restoring: str
) -> None:
    transport = InMemoryTransport()
    watching = BifurkCallback(transport=transport, **EVERY)
    module = Digits()
    trainer = fit(module, digits, watching, saving(tmp_path))
    path, loader = tmp_path / "step=4.ckpt", DataLoader(digits, batch_size=128)
    trainer.limit_val_batches = 1
    getattr(trainer, restoring)(module, loader, ckpt_path=path, verbose=False)
    trainer.limit_val_batches = 0
    trainer.fit_loop.epoch_loop.max_steps = 10
    trainer.fit(module, DataLoader(digits, batch_size=32), loader)
    assert arrived(transport).steps == [0, 2, 4, 6, 6, 8, 10]
    fit(Digits(), digits, watching, max_steps=2)
    assert arrived(transport).steps == [0, 2, 4, 6, 6, 8, 10, 0, 2]


def test_a_backbone_that_thaws_joins_with_its_parameter_group(digits: TensorDataset) -> None:
    transport = InMemoryTransport()
    fit(
        Digits(),
        digits,
        BifurkCallback(transport=transport, **EVERY),
        BackboneFinetuning(unfreeze_backbone_at_epoch=1, verbose=False),
        max_steps=12,
    )
    seen = arrived(transport)
    assert seen.steps == [0, 2, 4, 6, 8, 10, 12]
    heads = ["head.weight", "head.bias"]
    everything = [name for name, _ in Digits().named_parameters()]
    tensors = [[tensor.name for tensor in part.tensors] for part in seen.parts]
    assert tensors == [heads] * 5 + [everything] * 2
    assert [len(part.manifest.learning_rates) for part in seen.parts] == [1] * 5 + [2] * 2
    assert [m.step for m in seen.marks("schedule") if "parameter_groups" in m.details] == [8]


def test_an_average_that_is_swapped_in_is_not_what_is_watched(
    tmp_path: Path, digits: TensorDataset
) -> None:
    transport = InMemoryTransport()
    fit(
        Digits(),
        digits,
        EMAWeightAveraging(decay=0.5),
        BifurkCallback(transport=transport, **EVERY),
        saving(tmp_path),
        val_check_interval=1,
        limit_val_batches=1,
    )
    seen = arrived(transport)
    assert seen.steps == [0, 2, 4, 6]
    for part in seen.parts[1:]:
        written = saved_at(tmp_path, part.manifest.step)
        assert written["averaging_state"]  # it holds the average under `state_dict`
        trained = written["current_model_state"]
        for tensor in part.tensors:
            if tensor.values is not None:
                assert tensor.values.data.tobytes() == trained[tensor.name].numpy().tobytes()


def test_two_processes_post_once(tmp_path: Path, digits: TensorDataset) -> None:
    fit(
        Digits(),
        digits,
        BifurkCallback(offline_dir=tmp_path / "bifurk", **EVERY),
        saving(tmp_path / "saved"),
        strategy="ddp_fork",
        devices=2,
        max_steps=4,
    )
    seen = left_in(tmp_path / "bifurk")
    assert (seen.steps, seen.state, len(seen.attempts)) == ([0, 2, 4], "finished", 1)
    assert seen.marks("start")[0].details["processes"] == 2
    trained = saved_at(tmp_path / "saved", 4)["state_dict"]
    last = {tensor.name: tensor for tensor in seen.parts[-1].tensors}
    assert list(last) == [name for name, _ in Digits().named_parameters()]
    for name in ("backbone.0.bias", "head.weight", "head.bias"):
        assert last[name].values.data.tobytes() == trained[name].numpy().tobytes()
