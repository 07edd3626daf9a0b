"""What was measured, as JSON and as the tables of ``docs/detectors/measured.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from detecting.plan import HELD
from detecting.scoring import Null, Power, Share

if TYPE_CHECKING:  # Peers are not needed to read what was measured.
    from claims import Claim
    from detecting.detectors import Measured
    from detecting.early_warning import Warned
    from detecting.peer_series import Compared
    from detecting.whole_runs import Outcome

Document = dict[str, Any]


def kind_document(found: Measured) -> Document:
    return {
        "nulls": {name: _null(null) for name, null in found.nulls.items()},
        "events": {name: _power(power) for name, power in found.events.items()},
        "microseconds": round(found.cost, 2),
        "trade": [asdict(trade) for trade in found.trade],
    }


def peer_document(found: Compared) -> Document:
    return {
        "name": found.name,
        "setting": found.setting,
        "nulls": {name: _null(null) for name, null in found.nulls.items()},
        "events": {name: _power(power) for name, power in found.events.items()},
        "microseconds": round(found.cost, 2),
    }


def warned_document(found: Warned) -> Document:
    return {
        "family": found.family,
        "ewstools": _share(found.ewstools),
        "ours": None if found.ours is None else _share(found.ours),
    }


def run_document(found: Outcome) -> Document:
    return {
        "name": found.name,
        "rule": found.rule,
        "false": found.false,
        "false_runs": _share(found.false_runs),
        "early": _share(found.early),
        "seen": {name: _share(share) for name, share in found.seen.items()},
        "power": _share(found.power),
        "delays": {name: _quantiles(delays) for name, delays in found.delays.items()},
        "delay": _quantiles(found.every_delay),
        "f1": round(found.f1, 4),
        "false_by_family": found.false_by_family,
    }


def renewed(stored: Document, found: Document) -> Document:
    """What is stored, with what was measured anew in its place; claims go by their names."""
    named = {claim["claim"]: claim for claim in found["claims"]}
    claims = [named.pop(claim["claim"], claim) for claim in stored["claims"]]
    merged = {name: {**stored[name], **found[name]} for name in ("kinds", "calibration")}
    return {**stored, **found, **merged, "claims": [*claims, *named.values()]}


def tables(document: Mapping[str, Any]) -> dict[str, str]:
    """Every table of the page, by the name of its place."""
    return {
        "false-alarms": _false_alarms(document["kinds"]),
        "power": _powers(document["kinds"]),
        "trade": _trades(document["kinds"]),
        "peers": _peers(document["peers"]),
        "early-warning": _warned(document["early_warning"]),
        "runs": _runs(document["runs"]),
        "run-events": _run_events(document["runs"]),
        "claims": _claims(document["claims"]),
        "made-with": ", ".join(f"{name} {what}" for name, what in document["made_with"].items()),
    }


def _null(null: Null) -> Document:
    return {**_share(null.series), "detections": null.detections, "snapshots": null.snapshots}


def _power(power: Power) -> Document:
    return {
        "seen": _share(power.seen),
        "before": _share(power.before),
        "delay": _quantiles(power.delays),
        "onset_error": _number(power.onset_error),
        "covered": _share(power.covered),
    }


def _share(share: Share) -> Document:
    low, high = share.interval
    return {"count": share.count, "of": share.of, "low": _number(low), "high": _number(high)}


def _quantiles(values: Sequence[float]) -> list[float | None]:
    """Median and 90th percentile."""
    if not values:
        return [None, None]
    return [float(np.median(values)), float(np.quantile(values, 0.9))]


def _number(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _false_alarms(kinds: Mapping[str, Document]) -> str:
    rows = [
        (
            f"`{kind}`",
            name + (" (reported)" if name in (HELD[kind].reported or {}) else ""),
            _told(null),
            f"{1e4 * null['detections'] / null['snapshots']:.2f}",
        )
        for kind, found in kinds.items()
        for name, null in found["nulls"].items()
    ]
    return _table(("kind", "healthy family", "share that fires", "per 10,000 snapshots"), rows)


def _powers(kinds: Mapping[str, Document]) -> str:
    rows = [
        (
            f"`{kind}`",
            name,
            _told(power["seen"]),
            _plain(power["delay"][0]),
            _plain(power["delay"][1]),
            _plain(power["onset_error"]),
            _told(power["covered"]) if power["covered"]["of"] else "",
            _told(power["before"]),
            f"{found['microseconds']:.1f}",
        )
        for kind, found in kinds.items()
        for name, power in found["events"].items()
    ]
    head = ("kind", "event", "seen", "delay", "90 %", "onset error", "onset covered", "before it")
    return _table((*head, "us"), rows)


def _trades(kinds: Mapping[str, Document]) -> str:
    rows = [
        (
            f"`{kind}`",
            f"{trade['at']:g}",
            _few(trade["nulls"]),
            _few(trade["events"]),
        )
        for kind, found in kinds.items()
        for trade in found["trade"]
    ]
    return _table(("kind", "threshold", "healthy series that fire", "events seen"), rows)


def _peers(peers: Sequence[Document]) -> str:
    events = list(peers[0]["events"])
    rows = [
        (
            peer["name"],
            peer["setting"],
            f"{peer['nulls']['white noise']['count'] / peer['nulls']['white noise']['of']:.3f}",
            f"{_mean(peer['nulls'].values()):.3f}",
            *(
                f"{power['seen']['count'] / power['seen']['of']:.2f}, {_plain(power['delay'][0])}"
                for power in peer["events"].values()
            ),
            f"{peer['microseconds']:.1f}",
        )
        for peer in peers
    ]
    return _table(("detector", "setting", "white noise", "all healthy", *events, "us"), rows)


def _warned(found: Sequence[Document]) -> str:
    rows = [
        (one["family"], _told(one["ewstools"]), _told(one["ours"]) if one["ours"] else "")
        for one in found
    ]
    return _table(("layers", "ewstools", "`critical_slowing`"), rows)


def _runs(runs: Sequence[Document]) -> str:
    rows = [
        (
            run["name"],
            run["rule"],
            f"{run['false']} in {run['false_runs']['of']}",
            _told(run["false_runs"]),
            _told(run["power"]),
            _plain(run["delay"][0]),
            _plain(run["delay"][1]),
            _told(run["early"]),
            f"{run['f1']:.3f}",
        )
        for run in runs
    ]
    head = ("system", "rule", "alarms in sound runs", "sound runs with any", "events seen")
    return _table((*head, "delay", "90 %", "alarm before the event", "F1"), rows)


def _run_events(runs: Sequence[Document]) -> str:
    ours = runs[0]
    rows = [
        (name, _told(share), _plain(ours["delays"][name][0]), _plain(ours["delays"][name][1]))
        for name, share in ours["seen"].items()
    ]
    return _table(("run", "seen", "delay", "90 %"), rows)


def _claims(claims: Sequence[Document]) -> str:
    rows = [
        (
            claim["claim"],
            f"{claim['value']:.4g} {claim['unit']}".strip(),
            f"{'<=' if claim['better'] == 'lower' else '>='} {claim['target']:g}",
            "met" if claim["met"] else "**not met**",
        )
        for claim in claims
        if claim["target"] is not None
    ]
    return _table(("claim", "measured", "target", ""), rows)


def claim_documents(claims: Iterable[Claim]) -> list[Document]:
    return [{**asdict(claim), "met": bool(claim.met)} for claim in claims]


def _told(share: Document) -> str:
    if not share["of"]:
        return ""
    value = share["count"] / share["of"]
    return f"{value:.3f} ({share['low']:.3f} to {share['high']:.3f})"


def _few(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in shares.items())


def _mean(nulls: Iterable[Document]) -> float:
    return float(np.mean([null["count"] / null["of"] for null in nulls]))


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
