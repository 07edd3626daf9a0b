"""How often detectors cry wolf, how soon they see what happens, and what that costs.

Every kind on healthy families and on events of its own (``bifurk_service.detect.streams``), beside
ADWIN, Page-Hinkley, KSWIN, PELT, BOCPD, a z-score rule and an EMA of turbulence on the very same
series; then the whole system on whole runs, beside the same peers; and what judging costs. Seeds
begin at 10,000; whatever is tuned is tuned on others. Processor time is what is told as cost.

About twenty-five minutes on one core; ``--quick`` two, with a tenth of the series, which is too few
for its verdicts to count. ``--only`` runs some parts (kinds, peers, runs, costs), ``--kinds`` some
kinds, and with ``--renew`` what they measure takes the place of what is stored of them; without it,
``--write-docs`` and ``--write-calibration`` need all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")

from claims import Claim, report
from detecting import (
    costs,
    detectors,
    document,
    early_warning,
    peer_series,
    whole_runs,
)
from detecting.plan import HELD, SERIES
from detecting.watching import BY_KIND
from trainings.page import filled

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "benchmarks/results/detection.json"
PAGE = PROJECT / "docs/detectors/measured.md"
CALIBRATION = PROJECT / "service/bifurk_service/detect/calibration.json"
PARTS = ("costs", "kinds", "peers", "runs")
PEER_SERIES = 100
NULL_RUNS = 100
EVENT_RUNS = 72
WARNED_GROUPS = 30
QUICK = 10
"""The share of everything that ``--quick`` draws is one in so many."""


def main() -> int:
    """Measures and reports; 0 when every target is met."""
    asked = _options()
    scale = (asked.rounds or 1) / (QUICK if asked.quick else 1)
    found, claims = _measure(asked, scale)
    found["claims"] = document.claim_documents(claims)
    is_whole = set(asked.only) == set(PARTS) and not asked.kinds
    if not asked.quick and (is_whole or asked.renew):
        if not is_whole:
            stored = json.loads(RESULTS.read_text(encoding="utf-8"))
            found = document.renewed(stored, found)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        if asked.write_docs:
            write_page(found)
        if asked.write_calibration:
            table = json.dumps(found["calibration"], indent=1)
            CALIBRATION.write_text(table + "\n", encoding="utf-8")
    return report(claims, as_json=asked.json)


def write_page(found: dict[str, Any]) -> None:
    """Puts the tables into the page; the prose around them stays."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(filled(page, document.tables(found)), encoding="utf-8")


def _measure(asked: argparse.Namespace, scale: float) -> tuple[dict[str, Any], list[Claim]]:
    claims: list[Claim] = []
    found: dict[str, Any] = {"made_with": _made_with(), "kinds": {}, "calibration": {}}
    if "costs" in asked.only:
        claims += costs.claims_of()
    if "kinds" in asked.only:
        for kind in asked.kinds or [kind for kind in HELD if kind in BY_KIND]:
            one = detectors.measured(kind, series=_many(SERIES, scale), say=_say)
            claims += detectors.claims_of(kind, one)
            found["kinds"][kind] = document.kind_document(one)
            found["calibration"][kind] = detectors.calibration(kind, one)
    if "peers" in asked.only:
        contenders = peer_series.compared(series=_many(PEER_SERIES, scale), say=_say)
        claims += peer_series.claims_of(contenders)
        found["peers"] = [document.peer_document(one) for one in contenders]
        warned = early_warning.warned(groups=_many(WARNED_GROUPS, scale))
        found["early_warning"] = [document.warned_document(one) for one in warned]
    if "runs" in asked.only:
        outcomes = whole_runs.outcomes(
            null_runs=_many(NULL_RUNS, scale), event_runs=_many(EVENT_RUNS, scale), say=_say
        )
        claims += whole_runs.claims_of(outcomes)
        found["runs"] = [document.run_document(one) for one in outcomes]
    return found, claims


def _many(count: int, scale: float) -> int:
    return max(round(count * scale), 1)


def _say(line: str) -> None:
    print(f"{time.process_time():7.0f} s  {line}", file=sys.stderr, flush=True)


def _made_with() -> dict[str, str]:
    names = ("numpy", "scipy", "river", "ruptures", "ewstools")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a claim")
    parser.add_argument("--rounds", type=int, default=None, help="times the usual number of series")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--kinds", nargs="+", choices=sorted(HELD), default=[])
    parser.add_argument(
        "--renew", action="store_true", help="put parts into the stored results; the rest stays"
    )
    parser.add_argument("--write-docs", action="store_true")
    parser.add_argument("--write-calibration", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
