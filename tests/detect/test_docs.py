"""The pages on detectors keep up with the table and with the defaults in force."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bifurk_service.detect import (
    baseline_departures,
    leaves_baseline,
    merge,
    recovery,
    silent,
    wake,
)
from bifurk_service.detect.agreement import AGREEMENT_SNAPSHOTS, ASPECTS, RULES
from bifurk_service.detect.base import AnyWatch
from bifurk_service.detect.registry import OPTIONAL_WATCHES, WATCHES
from bifurk_service.detect.schedule import EXPLAINING_KINDS
from bifurk_service.notify.baselines import LEAST_GOOD
from bifurk_service.pipeline.baselines import MOST_POINTS
from bifurk_service.stats.baseline import HOLD
from bifurk_service.stats.registry import BY_NAME

PAGES = Path(__file__).parents[2] / "docs" / "detectors"
INDEX = (PAGES / "README.md").read_text()
EVERY: tuple[AnyWatch, ...] = (*WATCHES, *OPTIONAL_WATCHES)
OTHER_PAGES = {"README", "measured", "real-runs", "streams"}
"""Pages that are about no single kind."""


@pytest.mark.parametrize("watch", EVERY, ids=lambda watch: watch.kind)
def test_the_index_lists_what_each_kind_watches(watch: AnyWatch) -> None:
    (row,) = re.findall(
        rf"^\| \[`{watch.kind}`\]\({watch.kind}\.md\) \|(.*)\|$", INDEX, re.MULTILINE
    )
    watched, meaning = row.split("|")[:2]
    assert re.findall(r"`(\w+)`", watched) == list(watch.statistics)
    assert meaning.strip() == watch.meaning


def test_every_kind_has_a_page_and_no_page_is_left_over() -> None:
    kinds = {watch.kind for watch in EVERY} | {silent.KIND, leaves_baseline.KIND}
    assert {page.stem for page in PAGES.glob("*.md")} - OTHER_PAGES == kinds


@pytest.mark.parametrize("watch", EVERY, ids=lambda watch: watch.kind)
def test_the_page_names_every_default_with_its_value(watch: AnyWatch) -> None:
    page = (PAGES / f"{watch.kind}.md").read_text()
    parameters = watch.make(BY_NAME[watch.statistics[0]]).parameters()
    for name, value in parameters.items():
        if name not in ("least_change", "nature") or watch.kind == "turning_point":
            shown = f"{value:g}".removeprefix("0") if isinstance(value, float) else str(value)
            assert re.search(rf"`{name}` {re.escape(shown)}\b", page), (name, shown)


def test_the_page_on_baselines_names_the_rule_in_force() -> None:
    page = (PAGES / f"{leaves_baseline.KIND}.md").read_text()
    rows = [line.split("|")[2:-1] for line in page.splitlines() if line.startswith("| ")]
    counts = [int(cell.split()[0]) for cell in rows[0]]
    assert dict(zip(counts, map(float, rows[1]), strict=True)) == dict(baseline_departures.MARGINS)
    for name, value in (
        ("hold", HOLD),
        ("least_good", LEAST_GOOD),
        ("least_share", baseline_departures.LEAST_SHARE),
        ("least_courses", baseline_departures.LEAST_COURSES),
        ("still_out", baseline_departures.STILL_OUT),
    ):
        assert f"`{name}` {value:g}" in page, name
    assert f"{MOST_POINTS // 10**6} million values" in page


def test_the_index_lists_the_aspects() -> None:
    for statistic, aspect in ASPECTS.items():
        assert re.search(rf"{aspect} \([^)]*`{statistic}`", INDEX), (aspect, statistic)


def test_the_index_says_which_kinds_need_agreement_or_company() -> None:
    for kind in (*RULES, *merge.COMPANY_SNAPSHOTS):
        rows = re.findall(rf"^\| \[`{kind}`\].*\|(.*)\|$", INDEX, re.MULTILINE)
        assert all(row.strip() == "nothing: see below" for row in rows), kind


def test_the_index_lists_every_change_of_the_runs_own() -> None:
    kinds = {*EXPLAINING_KINDS, "learning_rate", "warmup_end", "decay_start"}
    table = INDEX[INDEX.index("**Schedule.**") : INDEX.index("**Recovery.**")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == kinds


@pytest.mark.parametrize(
    "sentence",
    [
        f"is named. What shifts in other tensors within {merge.AFTERMATH_SNAPSHOTS} snapshots",
        f"began at least {wake.LATER_SNAPSHOTS} snapshots later, is another event",
        f"Events are remembered for {merge.KIN_SNAPSHOTS} snapshots",
        f"within {AGREEMENT_SNAPSHOTS} snapshots of the last one",
        f"at {recovery.RETURNED_SNAPSHOTS} judged snapshots running",
        f"At most {recovery.MOST_FOLLOWED} alerts are followed",
    ],
)
def test_the_index_names_the_windows_in_force(sentence: str) -> None:
    assert sentence in " ".join(INDEX.split())
