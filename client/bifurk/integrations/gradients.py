"""The norm of all gradients of an optimizer, for trainers that compute none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch.optim import Optimizer

EVERY: Final = 50
"""Steps from one norm to the next: a norm is one pass over all gradients."""


class GradientLog:
    """Tells the gradient norm before the first and every 50th step of one optimizer, until removed.

    Args:
        optimizer: not kept alive. tell: given the norm, on its device; must not raise.
    """

    def __init__(self, optimizer: Optimizer, tell: Callable[[torch.Tensor], None]) -> None:
        self._tell = tell
        self._steps = 0
        hook = torch.compiler.disable(self._before_step)  # type: ignore[no-untyped-call]
        self._handle = optimizer.register_step_pre_hook(hook)

    def remove(self) -> None:
        """Takes the hook off; idempotent."""
        self._handle.remove()

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        del args, kwargs
        due, self._steps = self._steps % EVERY == 0, self._steps + 1
        norm = gradient_norm(optimizer) if due else None
        if norm is not None:
            self._tell(norm)


@torch.no_grad()
def gradient_norm(optimizer: Optimizer) -> torch.Tensor | None:
    """The Euclidean norm over all gradients, as they are now; None where there are none.

    Changes no gradient and waits for no device: one pass over them is queued. The result lies
    where the last gradient does.
    """
    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None and parameter.grad.layout == torch.strided
    ]
    if not gradients:
        return None
    home = gradients[-1].device
    norms = [torch.linalg.vector_norm(g, dtype=torch.float32).to(home) for g in gradients]
    total: torch.Tensor = torch.linalg.vector_norm(torch.stack(norms))
    # Where a scaler leaves it to a fused optimizer to divide its scale out again.
    scale = getattr(optimizer, "grad_scale", None)
    return total / scale.to(home) if isinstance(scale, torch.Tensor) else total
