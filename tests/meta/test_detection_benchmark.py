"""The benchmark of detectors scores rightly, and its page holds what it measured."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from bifurk_service.detect.streams import EVENTS, LENGTH, NULLS, ONSET, POPULATION_NULLS

PROJECT = Path(__file__).parents[2]
RESULTS = PROJECT / "benchmarks/results/detection.json"
PAGE = PROJECT / "docs/detectors/measured.md"


@pytest.fixture(autouse=True)
def _benchmarks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(PROJECT / "benchmarks"), *sys.path])


@pytest.mark.parametrize(
    ("count", "of", "low", "high"), [(0, 400, 0, 0.00951), (8, 400, 0.01017, 0.03895)]
)
def test_shares_have_the_interval_of_wilson(count: int, of: int, low: float, high: float) -> None:
    from detecting.scoring import Share

    assert Share(count=count, of=of).interval == pytest.approx((low, high), abs=2e-5)


def test_a_null_counts_series_and_rates() -> None:
    from detecting.scoring import Seen, null_of

    stream = NULLS["white noise"](np.random.default_rng(0), 5, LENGTH)
    null = null_of(stream, [Seen(series=1, snapshot=3), Seen(series=1, snapshot=90)])
    assert (null.series.count, null.series.of, null.detections) == (1, 5, 2)
    assert null.per_10000 == pytest.approx(10.0)


def test_layers_are_counted_by_their_group() -> None:
    from detecting.scoring import Seen, null_of

    stream = POPULATION_NULLS["white layers"](np.random.default_rng(0), 36, 50)
    seen = [Seen(series=series, snapshot=9) for series in (0, 11, 12)]
    assert null_of(stream, seen).series.count == 2
    assert null_of(stream, seen).series.of == 3


def test_power_tells_what_came_before_from_what_came_after() -> None:
    from detecting.scoring import Seen, power_of

    stream = EVENTS["jump of 5"].generate(np.random.default_rng(0), 4, 260)
    power = power_of(
        stream,
        [
            Seen(series=0, snapshot=ONSET - 1),
            Seen(series=0, snapshot=ONSET, onset_first=ONSET - 1, onset_last=ONSET),
            Seen(series=1, snapshot=ONSET + 4, onset_first=ONSET + 1, onset_last=ONSET + 2),
            Seen(series=1, snapshot=ONSET + 9),
            Seen(series=2, snapshot=ONSET + 60),
        ],
    )
    assert (power.seen.count, power.before.count) == (2, 1)
    assert power.delays == (1, 5)
    assert power.within(4).count == 1
    assert (power.covered.count, power.covered.of) == (1, 2)
    assert power.onset_errors == (0.0, 2.0)


def test_the_page_holds_what_was_measured_and_nothing_else() -> None:
    """Before the whole benchmark has been run the tables are empty."""
    from detecting.document import tables
    from trainings.page import filled

    page = PAGE.read_text(encoding="utf-8")
    if RESULTS.exists():
        assert filled(page, tables(json.loads(RESULTS.read_text(encoding="utf-8")))) == page
    else:
        assert re.findall(r"<!-- numbers: [\w-]+ -->\n(.*?)<!-- end -->", page, re.DOTALL) == [
            ""
        ] * page.count("<!-- numbers: ")


def test_every_detector_has_its_families() -> None:
    from detecting.plan import HELD
    from detecting.watching import BY_KIND

    assert set(BY_KIND) <= set(HELD)


def test_a_part_measured_anew_takes_the_place_of_what_was_stored() -> None:
    from detecting.document import renewed

    stored = {
        "kinds": {"a": 1, "b": 1},
        "calibration": {"a": 1, "b": 1},
        "claims": [{"claim": "a: x", "value": 1}, {"claim": "b: x", "value": 1}],
        "runs": 1,
    }
    found = {
        "kinds": {"b": 2},
        "calibration": {"b": 2},
        "claims": [{"claim": "b: x", "value": 2}, {"claim": "b: y", "value": 2}],
    }
    assert renewed(stored, found) == {
        "kinds": {"a": 1, "b": 2},
        "calibration": {"a": 1, "b": 2},
        "claims": [
            {"claim": "a: x", "value": 1},
            {"claim": "b: x", "value": 2},
            {"claim": "b: y", "value": 2},
        ],
        "runs": 1,
    }
