"""What happens to whom and when: drawn from a seed, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LONGEST_MOMENT_SECONDS: Final = 0.05
"""Between the acknowledgement that a blow waits for and the blow: a part is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One blow.

    Attributes:
        after: parts acknowledged to all clients together before it falls.
        moment_seconds: after that.
        victim: name of what it falls on. kind: kill, pause or cut.
        seconds: until the victim is back, or goes on.
    """

    after: int
    moment_seconds: float
    victim: str
    kind: str
    seconds: float


def draw_plan(
    seed: int, *, victims: Sequence[tuple[str, str]], parts: int, blows: int, longest_seconds: float
) -> list[Blow]:
    """Blows in order, spread over the parts; every victim comes as often as any other, or nearly.

    Args:
        seed: of all draws. victims: names, and what is done to them. parts: that will be sent.
        blows: how many. longest_seconds: that a victim is gone.
    """
    chance = random.Random(seed)
    order = [*victims] * (blows // len(victims)) + chance.sample([*victims], blows % len(victims))
    chance.shuffle(order)
    moments = sorted(chance.randrange(parts // 20, parts * 19 // 20) for _ in order)
    return [
        Blow(
            after=after,
            moment_seconds=chance.uniform(0.0, LONGEST_MOMENT_SECONDS),
            victim=victim,
            kind=kind,
            seconds=chance.uniform(0.0, longest_seconds),
        )
        for after, (victim, kind) in zip(moments, order, strict=True)
    ]
