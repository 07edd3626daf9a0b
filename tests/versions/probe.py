"""What works with the packages of one environment, as JSON: run by ``matrix``, by itself too.

Each part trains a small model with and without bifurk, and compares.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import sharded
import torch
from torch import nn

import bifurk
from bifurk.testing import InMemoryTransport

STEPS = 6
WATCHED = [0, 1, 2, 4, 6]
NOT_ON_CPU = "not on CPU"
PACKAGES = ("torch", "numpy", "transformers", "lightning", "accelerate", "peft")


def main() -> None:
    """Prints versions and, by part, ``ok`` or what went wrong."""
    warnings.simplefilter("ignore")
    os.environ.update(BIFURK_OVERHEAD_BUDGET="none", BIFURK_EVERY="2", HF_HUB_OFFLINE="1")
    found: dict[str, Any] = {"python": sys.version.split()[0]}
    found["packages"] = {package: _version(package) for package in PACKAGES}
    found["parts"] = {part.__name__: _outcome(part) for part in PARTS}
    print(json.dumps(found))


def watch() -> None:
    """A plain loop; a fused, a foreach and a compiled step where there is one."""
    for options in ({}, {"foreach": True}, {"fused": True}):
        with_it, without = _loop(options, watched=True), _loop(options, watched=False)
        assert with_it == without, f"{options}: other losses"


def transformers() -> None:
    """Hugging Face's trainer with its callback."""
    from bifurk.integrations.transformers import BifurkCallback

    transport = InMemoryTransport()
    without = _with_trainer(_gpt(), [])
    with_it = _with_trainer(_gpt(), [BifurkCallback(transport=transport)])
    _check(transport, with_it, without)


def lightning() -> None:
    """Lightning's trainer with its callback."""
    import lightning as package

    from bifurk.integrations.lightning import BifurkCallback

    class Module(package.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 8)

        def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
            loss: torch.Tensor = self.body(batch).square().mean()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=0.1)

    def fit(callbacks: list[Any]) -> bytes:
        package.seed_everything(0)
        module = Module()
        data = torch.utils.data.DataLoader(torch.randn(32, 8), batch_size=4)
        package.Trainer(
            max_steps=STEPS,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=callbacks,
        ).fit(module, data)
        return _weights(module)

    transport = InMemoryTransport()
    without = fit([])
    _check(transport, fit([BifurkCallback(transport=transport)]), without)


def accelerate() -> None:
    """A loop under Accelerate with its tracker."""
    from accelerate import Accelerator

    from bifurk.integrations.accelerate import BifurkTracker

    def loop(trackers: list[Any]) -> bytes:
        torch.manual_seed(0)
        accelerator = Accelerator(cpu=True, log_with=trackers)
        model = nn.Linear(8, 8)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        model, optimizer = accelerator.prepare(model, optimizer)
        accelerator.init_trackers("probe")
        for _ in range(STEPS):
            loss = model(torch.randn(4, 8)).square().mean()
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            accelerator.log({"loss": loss.item()})
        accelerator.end_training()
        return _weights(model)

    transport = InMemoryTransport()
    without = loop([])
    _check(transport, loop([BifurkTracker(transport=transport)]), without)


def peft() -> None:
    """Adapters in Hugging Face's trainer: their factors are what is watched."""
    from peft import LoraConfig, get_peft_model

    from bifurk.integrations.transformers import BifurkCallback

    transport = InMemoryTransport()
    adapted = get_peft_model(_gpt(), LoraConfig(r=2, target_modules=["c_attn"]))
    _with_trainer(adapted, [BifurkCallback(transport=transport)])
    names = {tensor.name for part in transport.parts() for tensor in part.tensors}
    assert names, "nothing watched"
    assert all("lora_" in name for name in names), f"watched {sorted(names)[:3]}"


def run() -> None:
    """A script as it is, under ``bifurk run``."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "script.py")
        script.write_text(
            "import torch\n"
            "p = torch.nn.Linear(4, 4)\n"
            "o = torch.optim.SGD(p.parameters(), lr=0.1)\n"
            "for _ in range(6):\n"
            "    p(torch.ones(1, 4)).sum().backward()\n"
            "    o.step()\n"
        )
        command = [sys.executable, "-m", "bifurk", "run", "--", sys.executable, str(script)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "bifurk: watches Linear as script-" in done.stderr, done.stderr
        assert len(list(Path(folder, "bifurk").rglob("*.request"))) > len(WATCHED), (
            "nothing written"
        )


def fsdp() -> None:
    """``FullyShardedDataParallel`` over two processes."""
    sharded.tried("fsdp")


def tensor_parallel() -> None:
    """A column and a row parallel layer over two processes."""
    sharded.tried("tensor_parallel")


def fully_shard() -> None:
    """``fully_shard`` over two processes, where torch does it on CPUs."""
    sharded.tried("fully_shard")


PARTS: tuple[Callable[[], None], ...] = (
    watch,
    transformers,
    lightning,
    accelerate,
    peft,
    run,
    fsdp,
    tensor_parallel,
    fully_shard,
)


def _loop(options: dict[str, Any], *, watched: bool) -> list[float]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, **options)
    transport = InMemoryTransport()
    monitor = bifurk.watch(model, optimizer, transport=transport) if watched else None
    losses = []
    for _ in range(STEPS):
        loss = model(torch.randn(4, 8)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if monitor is not None:
        monitor.close()
        assert [part.manifest.step for part in transport.parts()] == WATCHED
    return losses


def _gpt() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=32, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    )


def _with_trainer(model: Any, callbacks: list[Any]) -> bytes:
    from transformers import Trainer, TrainingArguments

    torch.manual_seed(0)
    data = [{"input_ids": row, "labels": row} for row in torch.randint(0, 32, (32, 16))]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=STEPS,
            per_device_train_batch_size=4,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        Trainer(model=model, args=arguments, train_dataset=data, callbacks=callbacks).train()
    return _weights(model)


def _check(transport: InMemoryTransport, with_it: bytes, without: bytes) -> None:
    assert with_it == without, "other weights"
    steps = [part.manifest.step for part in transport.parts()]
    assert steps == WATCHED, f"snapshots at {steps}"
    assert transport.states()[-1]["state"] == "finished", "not told as finished"


def _weights(module: nn.Module) -> bytes:
    return b"".join(one.detach().numpy().tobytes() for one in module.parameters())


@contextmanager
def _quiet() -> Iterator[None]:
    """Standard output is the result's."""
    before = sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = before


def _outcome(part: Callable[[], None]) -> str:
    try:
        with _quiet():
            part()
    except sharded.NotOnCpuError:
        return NOT_ON_CPU
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return "ok"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
