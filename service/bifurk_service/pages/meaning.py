"""What the page says of a kind of alert, beyond what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Place: TypeAlias = Literal["evidence", "heatmap", "branches", "tensor", "run", "baseline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Somewhere to look next.

    Attributes:
        text: what to look for, and what it would tell.
        at: the figure: this alert's evidence, the run's heatmap, its branches, the first tensor's
            page, the run's alerts and facts, or the run against its good ones.
        statistic: to show there; "" for what it shows.
    """

    text: str
    at: Place
    statistic: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A kind in words.

    Attributes:
        what: what was seen, in one or two sentences. causes: likely ones, the likeliest first.
        looks: what to look at next, in order. harmless: when nothing needs to be done.
    """

    what: str
    causes: tuple[str, ...]
    looks: tuple[Look, ...]
    harmless: str
