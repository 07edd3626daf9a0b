"""Steps of a fused optimizer that a ``GradScaler`` let pass without effect.

With most optimizers the scaler leaves ``step`` out when gradients overflowed. A fused one is
stepped all the same: the scaler tells it by its attribute ``found_inf``, a tensor on the device,
and the kernel then changes nothing. Reading it there would wait for the device.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import torch
from torch.optim import Optimizer

MOST_WAITING: Final = 64
"""Answers still on their way from a device; further steps then count."""


class ScalerSkips:
    """Counts such steps of one optimizer, as soon as it can be known without waiting."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[torch.cuda.Event | None, torch.Tensor]] = deque()

    def settle(self, optimizer: Optimizer) -> int:
        """How many steps turned out to have changed nothing; to be asked after every step.

        On the host the answer includes the step just done. On a device it comes some steps later.
        """
        found = getattr(optimizer, "found_inf", None)
        if isinstance(found, torch.Tensor) and len(self._waiting) < MOST_WAITING:
            self._waiting.append(_on_its_way(found))
        void = 0
        while self._waiting and _has_arrived(self._waiting[0][0]):
            void += bool(self._waiting.popleft()[1])
        return void


def _on_its_way(found: torch.Tensor) -> tuple[torch.cuda.Event | None, torch.Tensor]:
    if found.device.type != "cuda":
        return None, found.detach().clone()
    host = torch.empty(found.shape, dtype=found.dtype, device="cpu", pin_memory=True)
    host.copy_(found.detach(), non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(found.device))
    return event, host


def _has_arrived(event: torch.cuda.Event | None) -> bool:
    return event is None or bool(event.query())  # type: ignore[no-untyped-call]
