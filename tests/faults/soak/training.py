"""The trainings of the soak: tiny, the same on every call, some of them with something to tell."""

from __future__ import annotations

import hashlib
import time
from typing import Any, Final

import torch
from torch import nn

import bifurk
from bifurk.monitor import Monitor
from tests.faults.training import encoded

PROJECT: Final = "soak"
CLIENTS: Final = ("sound", "scaled", "broken", "spread")
"""What becomes of each training: nothing, one matrix tripled, a NaN, one row scaled."""

LEAST_STEPS: Final = 60
"""Below it a fault has no past to stand out from."""


class Training:
    """A small regression from fixed seeds, with its fault where half of the steps are done.

    Args:
        kind: one of ``CLIENTS``, also the name of the run. steps: of the whole training.
    """

    def __init__(self, kind: str, *, steps: int) -> None:
        # The order of a sum, and with it the last bit, is another with more threads.
        torch.set_num_threads(1)
        torch.manual_seed(CLIENTS.index(kind))
        self._random = torch.Generator().manual_seed(7)
        self._kind = kind
        self._fault_step = steps // 2
        self.model = nn.Sequential(
            nn.Linear(12, 24, bias=False), nn.Tanh(), nn.Linear(24, 6, bias=False)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3)
        self._steps = steps

    def watch(self, **settings: Any) -> Monitor:
        """A snapshot at every step."""
        chosen = {"project": PROJECT, "run": self._kind, "every": 1, "overhead_budget": None}
        return bifurk.watch(self.model, self.optimizer, **{**chosen, **settings})

    def run(self, monitor: Monitor | None = None, *, pace_seconds: float = 0.0) -> None:
        """Trains to the end; a step lasts at least ``pace_seconds``."""
        for step in range(1, self._steps + 1):
            loss = self._step()
            if step == self._fault_step:
                self._break()
            if monitor is not None:
                monitor.log(loss=loss)
                # However busy the machine is, no snapshot is left out because others are encoded.
                encoded(monitor)
                time.sleep(pace_seconds)

    def _step(self) -> torch.Tensor:
        inputs = torch.randn(16, 12, generator=self._random)
        loss = (self.model(inputs) - inputs[:, :6]).square().mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss

    @torch.no_grad()
    def _break(self) -> None:
        weight = self.model[2].weight
        if self._kind == "scaled":
            weight.mul_(3)
        elif self._kind == "broken":
            weight[1, 2] = torch.nan
        elif self._kind == "spread":
            self.model[0].weight[5].mul_(8)

    def digest(self) -> str:
        """Of the weights as they are, bit for bit."""
        values = (parameter.detach().numpy().tobytes() for parameter in self.model.parameters())
        return hashlib.sha256(b"".join(values)).hexdigest()
