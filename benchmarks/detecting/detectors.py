"""Every kind on its families: false alarms, power, delay, onset, cost, and the trade between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from claims import Claim
from detecting.plan import HELD, events_of, nulls_of
from detecting.scoring import Null, Power, null_of, power_of
from detecting.watching import BY_KIND, Watched, microseconds, watched

from bifurk_service.detect.streams import Stream

FALSE: Final = 0.02
"""Largest share of series, or groups of layers, of 400 snapshots that may have a detection."""
FALSE_AR9: Final = 0.12
FACTORS: Final = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
"""On a kind's threshold, for the trade between false alarms and power."""
SCORES: Final = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
"""Least scores for which rates are given."""
TRADE_NULLS: Final = ("white noise", "AR(.5)", "drifting norm")
SLOW_HORIZON: Final = 200

POWER: Final[tuple[tuple[str, str, float, int | None], ...]] = (
    ("regime_shift", "jump of 5", 0.85, None),
    ("regime_shift", "jump of -5", 0.85, None),
    ("regime_shift", "jump of 8", 0.95, None),
    ("regime_shift", "fold", 0.95, None),
    ("variance_burst", "variance burst", 0.9, 25),
    ("mode_split", "modes part", 0.95, 15),
    ("branch_split", "fork of 6 of 48", 0.95, 20),
    ("spectral_outlier", "spike emerges", 0.95, 20),
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
    scores: dict[str, list[float]] = {}
    costs: list[float] = []
    for name, stream in nulls_of(kind, series=series):
        found = watched(kind, stream)
        nulls[name] = null_of(stream, found.seen)
        scores[name] = [one.score for one in found.seen]
        costs.append(microseconds(found, stream))
        say(f"{kind:<18} {name:<24} fires in {nulls[name].series.value:.3f}")
    events = {}
    for name, stream in events_of(kind, series=series):
        found = watched(kind, stream)
        horizon = SLOW_HORIZON if name == "slow turn" else 60
        events[name] = power = power_of(stream, found.seen, horizon=horizon)
        costs.append(microseconds(found, stream))
        say(f"{kind:<18} {name:<24} seen in {power.seen.value:.3f}, after {power.delay(0.5):.0f}")
    return Measured(
        nulls=nulls,
        events=events,
        cost=float(np.median(costs)),
        trade=list(_trade(kind, series=max(series // 4, 1))),
        scores=scores,
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


def _trade(kind: str, *, series: int) -> Iterator[Trade]:
    """The kind's own threshold moved; where it has none, detections of least scores."""
    nulls = {name: s for name, s in nulls_of(kind, series=series) if _is_traded(kind, name)}
    events = dict(events_of(kind, series=series))
    threshold = _threshold(kind)
    if threshold is None:
        said = {name: watched(kind, stream) for name, stream in (nulls | events).items()}
        for score in SCORES:
            yield _at(score, nulls, events, {n: _above(one, score) for n, one in said.items()})
        return
    for factor in FACTORS:
        moved = {"threshold": threshold * factor}
        streams = (nulls | events).items()
        yield _at(factor, nulls, events, {n: watched(kind, s, **moved) for n, s in streams})


def _is_traded(kind: str, name: str) -> bool:
    shared = set(TRADE_NULLS) & set(HELD[kind].scalar)
    return name in (shared or set(HELD[kind].own or {}))


def _threshold(kind: str) -> float | None:
    parameters = BY_KIND[kind].parameters
    names = {field.name for field in fields(parameters)} if parameters else set()
    return float(parameters().threshold) if parameters and "threshold" in names else None


def _above(found: Watched, score: float) -> Watched:
    kept = tuple(one for one in found.seen if one.score >= score)
    return Watched(seen=kept, explained=found.explained, seconds=found.seconds)


def _at(
    at: float, nulls: dict[str, Stream], events: dict[str, Stream], said: dict[str, Watched]
) -> Trade:
    return Trade(
        at=at,
        nulls={n: null_of(s, said[n].seen).series.value for n, s in nulls.items()},
        events={n: power_of(s, said[n].seen).seen.value for n, s in events.items()},
    )
