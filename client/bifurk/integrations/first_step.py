"""Calls back just before optimizers step, without having been given any of them.

PyTorch runs its global hooks before an optimizer's own. What registers hooks of its own on the
optimizer from inside the call has them run in this very step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

Listener: TypeAlias = Callable[[Optimizer], None]


class BeforeSteps:
    """Calls ``listener`` with every optimizer before each of its steps, until removed.

    Args:
        listener: must not raise. It must not remove this itself: PyTorch is walking over its hooks
            then.
    """

    def __init__(self, listener: Listener) -> None:
        def hook(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            del args, kwargs
            listener(optimizer)

        # Hidden from a compiler that traces the step.
        self._handle = register_optimizer_step_pre_hook(torch.compiler.disable(hook))  # type: ignore[no-untyped-call]

    def remove(self) -> None:
        """Takes the hook off; idempotent."""
        self._handle.remove()
