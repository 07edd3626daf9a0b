"""A window within which layers are held against one another, and how long they must part alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """All in rounds (mostly snapshots).

    Attributes:
        window: within which displacement is measured.
        ends: values whose median stands for either end of it.
        lookback: how long ago the membership must have been the same already.
    """

    window: int
    ends: int
    lookback: int

    @property
    def rounds(self) -> int:
        """That a layer must have values of."""
        return self.window + self.lookback

    @classmethod
    def of(cls, window: int, *, ends: int, lookback: int) -> Look:
        """Of a window: a third of it where the ends, or the way back, would be more."""
        return cls(window=window, ends=min(ends, window // 3), lookback=min(lookback, window // 3))
