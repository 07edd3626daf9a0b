"""Every kind on its families: false alarms, power, delay, onset, cost, and the trade between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Final

import numpy as np
from claims import Claim
from detecting.plan import HELD, events_of, nulls_of
from detecting.scoring import HORIZON, Null, Power, Seen, null_of, power_of
from detecting.watching import BY_KIND, microseconds, watched

from bifurk_service.detect.streams import Stream

FALSE: Final = 0.02
"""Largest share of series, or groups of layers, of 400 snapshots that may have a detection."""
FALSE_AR9: Final = 0.12
FACTORS: Final = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
"""On a kind's threshold, for the trade between false alarms and power."""
SCORES: Final = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
"""Least scores for which rates are given."""
TRADE_NULLS: Final = ("white noise", "AR(.5)", "drifting norm")
TRADE_SHARE: Final = 4
"""Thresholds are moved on one series in so many."""
SLOW_HORIZON: Final = 200
"""Snapshots within which a slow turn counts as seen."""

POWER: Final[tuple[tuple[str, str, float, int | None], ...]] = (
    ("regime_shift", "jump of 5", 0.85, None),
    ("regime_shift", "jump of -5", 0.85, None),
    ("regime_shift", "jump of 8", 0.95, None),
    ("regime_shift", "fold", 0.95, None),
    ("variance_burst", "variance burst", 0.9, 25),
    ("mode_split", "modes part", 0.95, 15),
    ("branch_split", "fork of 6 of 48", 0.95, 20),
    ("spectral_outlier", "spike emerges", 0.95, 20),
    ("spectral_outlier", "spike emerges, larger matrix", 0.95, 20),
)
"""Kind, family, least share seen, and within how many snapshots. The second spectrum of a matrix
comes at most 20 snapshots after the onset."""
DELAY: Final = (
    ("regime_shift", "jump of 5", 6),
    ("regime_shift", "jump of -5", 6),
    ("regime_shift", "jump of 8", 6),
    ("regime_shift", "fold", 15),
)
"""Kind, family, largest median delay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """At one threshold: share of healthy series that fire, and of events seen."""

    at: float
    nulls: dict[str, float]
    events: dict[str, float]


@dataclass(slots=True, kw_only=True)
class Measured:
    """All that was measured of one kind."""

    nulls: dict[str, Null]
    events: dict[str, Power]
    cost: float
    trade: list[Trade]
    scores: dict[str, list[float]]
    """By null family, the scores of all detections."""


def measured(kind: str, *, series: int, say: Callable[[str], None]) -> Measured:
    """Holds one kind on all of its families."""
    nulls: dict[str, Null] = {}
    events: dict[str, Power] = {}
    said: dict[str, Sequence[Seen]] = {}
    kept: dict[str, Stream] = {}
    costs: list[float] = []
    for name, stream in chain(nulls_of(kind, series=series), events_of(kind, series=series)):
        found = watched(kind, stream)
        said[name] = found.seen
        costs.append(microseconds(found, stream))
        if stream.onset is None:
            nulls[name] = null = null_of(stream, found.seen)
            say(f"{kind:<18} {name:<24} fires in {null.series.value:.3f}")
        else:
            events[name] = power = power_of(stream, found.seen, horizon=_horizon(name))
            say(f"{kind:<18} {name:<24} seen in {power.seen.value:.3f} {power.delay(0.5):.0f}")
        if stream.onset is not None or _is_traded(kind, name):
            kept[name] = stream
    threshold = _threshold(kind)
    trade = (
        _trade_by_score(kept, said)
        if threshold is None
        else _trade(kind, threshold, series=max(series // TRADE_SHARE, 1))
    )
    return Measured(
        nulls=nulls,
        events=events,
        cost=float(np.median(costs)),
        trade=list(trade),
        scores={name: [one.score for one in said[name]] for name in nulls},
    )


def claims_of(kind: str, found: Measured) -> Iterator[Claim]:
    """What is claimed of one kind."""
    reported = HELD[kind].reported or {}
    for name, null in found.nulls.items():
        target = None if name in reported else FALSE_AR9 if name == "AR(.9)" else FALSE
        yield Claim(
            claim=f"{kind}: false alarms, {name}",
            value=null.series.value,
            unit="of series",
            target=target,
        )
    for of, name, least, within in POWER:
        if of == kind and name in found.events:
            power = found.events[name]
            share = power.seen if within is None else power.within(within)
            soon = "" if within is None else f" within {within}"
            yield Claim(
                claim=f"{kind}: seen{soon}, {name}",
                value=share.value,
                unit="of series",
                target=least,
                better="higher",
            )
    for of, name, most in DELAY:
        if of == kind and name in found.events:
            yield Claim(
                claim=f"{kind}: median delay, {name}",
                value=found.events[name].delay(0.5),
                unit="snapshots",
                target=most,
            )
    yield Claim(claim=f"{kind}: cost", value=found.cost, unit="us/series")


def calibration(kind: str, found: Measured) -> dict[str, Any]:
    """Rates of detections by least score, healthy families pooled with equal weight.

    Families that are only reported, and AR(.9), are left out: what they are is said on the page.
    """
    left_out = {*(HELD[kind].reported or {}), "AR(.9)"}
    families = [name for name in found.nulls if name not in left_out]
    return {
        "scores": list(SCORES),
        "per_10000": [
            float(
                np.mean(
                    [
                        1e4
                        * sum(one >= score for one in found.scores[name])
                        / found.nulls[name].snapshots
                        for name in families
                    ]
                )
            )
            for score in SCORES
        ],
        "series_snapshots": sum(found.nulls[name].snapshots for name in families),
    }


def _trade(kind: str, threshold: float, *, series: int) -> Iterator[Trade]:
    """The kind's own threshold moved."""
    streams = {name: s for name, s in nulls_of(kind, series=series) if _is_traded(kind, name)}
    streams |= dict(events_of(kind, series=series))
    for factor in FACTORS:
        moved = {"threshold": threshold * factor}
        said = {name: watched(kind, stream, **moved).seen for name, stream in streams.items()}
        yield _at(factor, streams, said)


def _trade_by_score(
    streams: Mapping[str, Stream], said: Mapping[str, Sequence[Seen]]
) -> Iterator[Trade]:
    """Of a kind without a threshold: what is left of its detections from a score on."""
    for score in SCORES:
        kept = {name: [one for one in seen if one.score >= score] for name, seen in said.items()}
        yield _at(score, streams, kept)


def _is_traded(kind: str, name: str) -> bool:
    shared = set(TRADE_NULLS) & set(HELD[kind].scalar)
    return name in (shared or set(HELD[kind].own or {}))


def _horizon(name: str) -> int:
    return SLOW_HORIZON if name == "slow turn" else HORIZON


def _threshold(kind: str) -> float | None:
    parameters = BY_KIND[kind].parameters
    names = {field.name for field in fields(parameters)} if parameters else set()
    return float(parameters().threshold) if parameters and "threshold" in names else None


def _at(at: float, streams: Mapping[str, Stream], said: Mapping[str, Sequence[Seen]]) -> Trade:
    return Trade(
        at=at,
        nulls={n: null_of(s, said[n]).series.value for n, s in streams.items() if s.onset is None},
        events={
            n: power_of(s, said[n], horizon=_horizon(n)).seen.value
            for n, s in streams.items()
            if s.onset is not None
        },
    )
