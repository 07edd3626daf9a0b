"""Peers and ``regime_shift`` on the very same single series, in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from claims import Claim
from detecting.peers import PEERS, timed, tuned
from detecting.plan import SEED, length_of
from detecting.scoring import Null, Power, Seen, null_of, power_of
from detecting.watching import BY_KIND, microseconds, watched

from bifurk_service.detect.streams import EVENTS, LENGTH, NULLS, UNDECLARED, Stream

TUNING_SEED: Final = 900
SLOW_SHARE: Final = 5
"""A slow peer judges one series in so many."""
EVENT_NAMES: Final = (
    "jump of 3",
    "jump of 5",
    "jump of 8",
    "tripled norm",
    "fold",
    "slow branch",
    "variance burst",
)

NOISE: Final = {
    "drifting norm": 0.001,
    "starts to move": 0.001,
    "bfloat16 norm": 0.001,
    "tripled norm": 0.001,
    "fold": 0.03,
}
"""Of families that are not in units of their noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One contender with one setting."""

    name: str
    setting: str
    nulls: dict[str, Null]
    events: dict[str, Power]
    cost: float


def compared(*, series: int, say: Callable[[str], None]) -> list[Compared]:
    """Every peer as recommended and tuned, and bifurk's kinds for single series."""
    streams = _streams(series)
    found = [_ours(kind, streams) for kind in ("regime_shift", "variance_burst") if _has(kind)]
    white = NULLS["white noise"](np.random.default_rng(TUNING_SEED), series, LENGTH).values
    for peer in PEERS:
        step = SLOW_SHARE if peer.slow else 1
        chosen = tuned(peer, white[:, ::step])
        for setting, how in ((peer.recommended, "recommended"), (chosen, "tuned")):
            told, costs = {}, []
            for name, stream in streams.items():
                values = np.where(stream.valid, stream.values, np.nan)[:, ::step]
                told[name], cost = timed(peer, values, setting)
                costs.append(cost)
            label = f"{how}: {peer.setting} {setting:g}"
            thinned = {name: _thinned(stream, step) for name, stream in streams.items()}
            found.append(_scored(peer.name, label, thinned, told, float(np.median(costs))))
            say(f"{peer.name:<20} {label}")
    return found


def claims_of(found: list[Compared]) -> list[Claim]:
    """Figures without a target: medians over families."""
    return [
        Claim(
            claim=f"{one.name}, {one.setting}: mean false alarms of {len(one.nulls)} families",
            value=float(np.mean([null.series.value for null in one.nulls.values()])),
            unit="of series",
        )
        for one in found
    ]


def _streams(series: int) -> dict[str, Stream]:
    drawn = {
        name: _in_noise(generate(np.random.default_rng([SEED + 2, place]), series, LENGTH), name)
        for place, (name, generate) in enumerate((NULLS | UNDECLARED).items())
    }
    for place, name in enumerate(EVENT_NAMES):
        random = np.random.default_rng([SEED + 3, place])
        drawn[name] = _in_noise(EVENTS[name].generate(random, series, length_of(name)), name)
    return drawn


def _in_noise(stream: Stream, name: str) -> Stream:
    """Peers take their thresholds in units of noise: norms by their walk, states by their noise."""
    return replace(stream, values=stream.values / NOISE.get(name, 1.0))


def _has(kind: str) -> bool:
    return kind in BY_KIND


def _ours(kind: str, streams: dict[str, Stream]) -> Compared:
    said = {name: watched(kind, stream) for name, stream in streams.items()}
    costs = [microseconds(said[name], stream) for name, stream in streams.items()]
    told = {name: list(one.seen) for name, one in said.items()}
    return _scored(f"bifurk {kind}", "default", streams, told, float(np.median(costs)))


def _scored(
    name: str, setting: str, streams: dict[str, Stream], told: dict[str, list[Seen]], cost: float
) -> Compared:
    return Compared(
        name=name,
        setting=setting,
        nulls={n: null_of(s, told[n]) for n, s in streams.items() if s.onset is None},
        events={n: power_of(s, told[n]) for n, s in streams.items() if s.onset is not None},
        cost=cost,
    )


def _thinned(stream: Stream, step: int) -> Stream:
    return replace(stream, values=stream.values[:, ::step], valid=stream.valid[:, ::step])
