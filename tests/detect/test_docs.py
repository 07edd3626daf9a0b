"""The pages on detectors keep up with the table and with the defaults in force."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bifurk_service.detect import silent
from bifurk_service.detect.agreement import ASPECTS
from bifurk_service.detect.base import Watch
from bifurk_service.detect.registry import WATCHES
from bifurk_service.stats.registry import BY_NAME

PAGES = Path(__file__).parents[2] / "docs" / "detectors"
INDEX = (PAGES / "README.md").read_text()


@pytest.mark.parametrize("watch", WATCHES, ids=lambda watch: watch.kind)
def test_the_index_lists_what_each_kind_watches(watch: Watch) -> None:
    (row,) = re.findall(
        rf"^\| \[`{watch.kind}`\]\({watch.kind}\.md\) \|(.*)\|$", INDEX, re.MULTILINE
    )
    watched, meaning = row.split("|")[:2]
    assert re.findall(r"`(\w+)`", watched) == list(watch.statistics)
    assert meaning.strip() == watch.meaning


def test_every_kind_has_a_page_and_no_page_is_left_over() -> None:
    kinds = {watch.kind for watch in WATCHES} | {silent.KIND}
    assert {page.stem for page in PAGES.glob("*.md")} == kinds | {"README"}


@pytest.mark.parametrize("watch", WATCHES, ids=lambda watch: watch.kind)
def test_the_page_names_every_default_with_its_value(watch: Watch) -> None:
    page = (PAGES / f"{watch.kind}.md").read_text()
    parameters = watch.make(BY_NAME[watch.statistics[0]]).parameters()
    for name, value in parameters.items():
        if name not in ("least_change", "nature") or watch.kind == "turning_point":
            shown = f"{value:g}".removeprefix("0") if isinstance(value, float) else str(value)
            assert re.search(rf"`{name}` {re.escape(shown)}\b", page), (name, shown)


def test_the_index_lists_the_aspects() -> None:
    for statistic, aspect in ASPECTS.items():
        assert re.search(rf"{aspect} \([^)]*`{statistic}`", INDEX), (aspect, statistic)
