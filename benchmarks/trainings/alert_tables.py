"""The judged runs as Markdown tables: pure, from the documents of ``judging``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from scipy.stats import binomtest, chi2

from .families import BLOW_UP, DYING, FAMILIES, FAULT, FAULT_BLOCK, RESUMED, RUNAWAY, Family
from .page import table

CONFIDENCE: Final = 0.95
MOST_LAYERS: Final = 8
NOTHING: Final = "-"
FIRST_FRESH_SEED: Final = 10_003
"""The healthy runs of the two seeds before have shaped rules, and tell no rate."""

Json = dict[str, Any]
Runs = list[Json]


def alert_tables(results: Json) -> dict[str, str]:
    """Every table of the page by its name."""
    runs = results["runs"]
    changed = [family for family in FAMILIES if family.event_step is not None]
    return {
        "healthy": _healthy(runs),
        "outcomes": _outcomes(runs, changed),
        "modular": _modular(runs),
        "alerts": _alerts(runs),
        "info": _info(runs),
    }


def of(runs: Runs, family: Family) -> Runs:
    """The family's runs by seed."""
    return sorted(
        (run for run in runs if run["family"] == family.name), key=lambda run: int(run["seed"])
    )


def standing_alone(run: Json) -> Runs:
    """Alerts of warning and more that are no part of another."""
    return [alert for alert in run["alerts"] if not alert["parent"]]


def after_event(run: Json, family: Family) -> Runs:
    """Alerts told from the event on; of a resumed run all of its later attempts."""
    if family == RESUMED:
        return [alert for alert in run["alerts"] if alert["attempt"] > 0]
    return [alert for alert in run["alerts"] if alert["step"] >= (family.event_step or 0)]


def before_doubling(run: Json, family: Family) -> bool:
    """Whether an alert came after the event and before a batch had twice the loss."""
    doubled = run["loss"]["doubled_step"]
    return any(doubled is None or a["step"] < doubled for a in after_event(run, family))


def named_rightly(run: Json, family: Family) -> bool:
    """Whether alerts came after the event, and spoke of the block concerned alone."""
    layers = {layer for alert in after_event(run, family) for layer in alert["layers"]}
    return layers == {FAULT_BLOCK}


def fell_before_generalising(run: Json) -> bool:
    """Whether the output layer's fall was told before half of the held-out pairs were right."""
    fall, step = run["fall_step"], run["generalised_step"]
    return fall is not None and step is not None and fall < step


def rate_interval(count: int, runs: int) -> tuple[float, float]:
    """Exact interval of a Poisson rate from a count over so many runs (Garwood 1936)."""
    tail = (1 - CONFIDENCE) / 2
    low = chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    return low / runs, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2 / runs


def share_interval(count: int, runs: int) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share."""
    found = binomtest(count, runs).proportion_ci(CONFIDENCE, method="exact")
    return float(found.low), float(found.high)


def _healthy(runs: Runs) -> str:
    families = [family for family in FAMILIES if family.healthy and of(runs, family)]
    gpts = [family for family in families if family.model == "gpt"]
    groups = [(family.title, of(runs, family)) for family in families]
    every = [run for family in gpts for run in of(runs, family)]
    fresh = [run for run in every if int(run["seed"]) >= FIRST_FRESH_SEED]
    groups[len(gpts) : len(gpts)] = [
        ("all healthy GPTs", every),
        (f"of these, seeds from {FIRST_FRESH_SEED} on", fresh),
    ]
    return table(
        ["", "runs", "alerts", "of these alone", "a run", "95 %", "runs with any", "95 %"],
        [[title, *_healthy_cells(found)] for title, found in groups if found],
    )


def _healthy_cells(runs: Runs) -> list[str]:
    counts = [len(run["alerts"]) for run in runs]
    total, touched = sum(counts), sum(map(bool, counts))
    return [
        str(len(runs)),
        str(total),
        str(sum(len(standing_alone(run)) for run in runs)),
        f"{total / len(runs):.2f}",
        _interval(rate_interval(total, len(runs))),
        str(touched),
        _interval(share_interval(touched, len(runs))),
    ]


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def _outcomes(runs: Runs, families: Iterable[Family]) -> str:
    rows = []
    for family in families:
        for run in of(runs, family):
            alerts, loss = after_event(run, family), run["loss"]
            first = min(alerts, key=lambda alert: alert["step"], default=None)
            rows.append(
                [
                    _title(run),
                    str(family.event_step),
                    NOTHING if first is None else f"{first['step']}, {first['kind']}",
                    f"{loss['before']:.2f}",
                    NOTHING if first is None else f"{first['loss']:.2f}",
                    f"{loss['highest']:.2f}",
                    str(loss["doubled_step"] or "never"),
                    _outcome(run, family),
                ]
            )
    return table(
        [
            "run",
            "at step",
            "first told",
            "loss before",
            "then",
            "highest",
            "doubled at",
            "outcome",
        ],
        rows,
    )


def _outcome(run: Json, family: Family) -> str:
    """What was asked of the family, in words."""
    if family == RESUMED:
        count = len(after_event(run, family))
        return f"{count} after the seam" if count else "quiet after the seam"
    if not after_event(run, family):
        return "not seen"
    if family in (BLOW_UP, RUNAWAY):
        return "in time" if before_doubling(run, family) else "too late"
    return _named_blocks(run, family) if family in (FAULT, DYING) else "seen"


def _named_blocks(run: Json, family: Family) -> str:
    layers = _distinct(layer for a in after_event(run, family) for layer in a["layers"])
    if layers == [FAULT_BLOCK]:
        return f"block {FAULT_BLOCK}, no other"
    return f"blocks {_places(layers)}"


def _modular(runs: Runs) -> str:
    rows = [
        [
            _title(run),
            str(run["fall_step"] or NOTHING),
            str(run["generalised_step"] or "never"),
            str(run["info"].get("mode_split", 0)),
            str(len(run["alerts"])),
        ]
        for family in FAMILIES
        if family.model == "modular"
        for run in of(runs, family)
    ]
    return table(
        ["run", "fall told", "half right at", "mode_split", "warning or more"],
        rows,
    )


def _alerts(runs: Runs) -> str:
    """A row an alert; of runs to which something happens only those from then on.

    Before, they are their controls.
    """
    rows = [
        [
            _title(run),
            f"{alert['kind']}, {alert['severity']}{' (part)' if alert['parent'] else ''}",
            str(alert["step"]),
            _span(alert["onset"]),
            f"{_places(alert['layers'])} ({alert['tensors']})",
            f"{alert['loss']:.2f}",
            ", ".join(alert["explained_by"]) or NOTHING,
        ]
        for family in FAMILIES
        for run in of(runs, family)
        for alert in after_event(run, family)
    ]
    return table(
        ["run", "kind", "told at", "began", "blocks in order (tensors)", "loss", "explained by"],
        rows,
    )


def _info(runs: Runs) -> str:
    """Mean number of alerts of info a run."""
    kinds = sorted({kind for run in runs for kind in run["info"]})
    rows = []
    for family in FAMILIES:
        found = of(runs, family)
        if found:
            counts: Counter[str] = Counter()
            for run in found:
                counts.update(run["info"])
            means = [f"{counts[kind] / len(found):.1f}" for kind in kinds]
            rows.append([family.title, str(len(found)), *means])
    return table(["", "runs", *(f"`{kind}`" for kind in kinds)], rows)


def _title(run: Json) -> str:
    return f"{run['family']} {run['seed']}"


def _span(onset: list[int]) -> str:
    return str(onset[0]) if onset[0] == onset[1] else f"{onset[0]} to {onset[1]}"


def _places(layers: list[int | str]) -> str:
    """Blocks in the order of their onset; what stands outside of all blocks is ``none``."""
    shown = [str(layer) for layer in layers[:MOST_LAYERS]]
    return ", ".join(shown) + (", ..." if len(layers) > MOST_LAYERS else "")


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
