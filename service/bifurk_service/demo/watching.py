"""What a demo training needs of its monitor, so that it runs with the hook or without."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class ScalarLog(Protocol):
    """The one thing a training tells its monitor."""

    def log(self, **scalars: float) -> None:
        """Records the latest value of each named scalar."""
        ...


Watch: TypeAlias = "Callable[[nn.Module, Optimizer], AbstractContextManager[ScalarLog]]"
"""Attaches a monitor to a model and its optimizer for as long as the context is open."""
