"""What is wrong with a body, and where in it."""

from __future__ import annotations


class WireError(ValueError):
    """A body that cannot be read.

    Attributes:
        where: the place in the body, as ``manifest.tensors[3].shape``.
        problem: what was expected there, and what came.
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class PartTooLargeError(WireError):
    """A body beyond the reader's limits; ``problem`` names the limit."""
