"""A small real training loop that the watch tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from bifurk.exact import STORAGE, Exact
from bifurk.monitor import Monitor

STEPS = 12


class SmallNet(nn.Module):
    """One matrix of more than 16,384 elements, several below, dropout that draws random numbers."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(150, 128, dtype=dtype)
        self.norm = nn.LayerNorm(128, dtype=dtype)
        self.output = nn.Linear(128, 10, dtype=dtype)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.embedding(tokens).mean(dim=1))
        output: torch.Tensor = self.output(nn.functional.dropout(hidden, p=0.2))
        return output


def new_training(
    seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[SmallNet, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = SmallNet(dtype)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-3)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    steps: int = STEPS,
    monitor: Monitor | None = None,
    each_step: Callable[[int], Any] = lambda step: None,
) -> list[float]:
    """Trains on random tokens; returns the losses. ``each_step`` gets 1, 2, ... after each."""
    losses = []
    for step in range(1, steps + 1):
        tokens = torch.randint(0, 150, (8, 16))
        logits = model(tokens)
        loss = nn.functional.cross_entropy(logits.float(), tokens[:, 0] % 10)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if monitor is not None:
            monitor.log(loss=loss)
        losses.append(loss.item())
        each_step(step)
    return losses


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter as it is now."""
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def same_bits(carried: Exact | None, expected: torch.Tensor) -> bool:
    """Whether exactly these values are carried, bit for bit and NaN for NaN."""
    assert carried is not None
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[expected.element_size()]
    theirs = expected.contiguous().view(-1).view(bits).numpy().tobytes()
    assert carried.data.dtype == STORAGE[carried.dtype]
    return carried.data.tobytes() == theirs


def steps_of(parts: Iterable[Any]) -> list[int]:
    return [part.manifest.step for part in parts]
