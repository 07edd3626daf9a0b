"""The peers that look at all weights, each as its users call it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch


class Peer(NamedTuple):
    """One look at all weights; then what it left in the background; and its end."""

    look: Callable[[], object]
    settle: Callable[[], object] = lambda: None
    close: Callable[[], object] = lambda: None


def wandb_watch(model: torch.nn.Module) -> Peer:
    """W&B's forward hook as `watch(log="parameters")` registers it; what it logs goes nowhere."""
    import wandb
    from wandb.integration.torch.wandb_torch import TorchHistory

    history = TorchHistory()
    carrier = torch.nn.Identity()
    history.add_log_parameters_hook(model, log_freq=1)
    [hook] = list(model._forward_hooks.values())  # noqa: SLF001 - called as forward does
    model._forward_hooks.clear()  # noqa: SLF001
    stub = mock.Mock()

    def look() -> None:
        with mock.patch.object(wandb, "run", stub):
            hook(model, (), carrier)
        stub.reset_mock()

    return Peer(look)


def add_histogram(model: torch.nn.Module, folder: Path) -> Peer:
    """TensorBoard's `add_histogram` of every parameter, as its documentation shows it."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    steps = iter(range(1_000_000))

    def look() -> None:
        step = next(steps)
        for name, parameter in model.named_parameters():
            writer.add_histogram(name, parameter, step)

    return Peer(look, settle=writer.flush, close=writer.close)
