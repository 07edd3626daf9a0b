"""The page of comparisons: what it compares, its figures, the band of good runs, and who may."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bifurk_service.store.engine import Database
from bifurk_service.store.models import StoredAlert
from tests.pages.paired import (
    BAD,
    GOOD,
    GROWS,
    HOSTILE,
    LAYERS,
    SNAPSHOTS,
    STEP,
    STRANGER,
    Pairs,
    paired_runs,
)
from tests.pages.serving import Browser
from tests.server import wait_for

LAST = (SNAPSHOTS - 1) * STEP
LEFT = GROWS * STEP
FIGURES = ("densities", "profiles", "courses", "baseline")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pairs]:
    with paired_runs(tmp_path_factory.mktemp("compare")) as found:
        yield found


@pytest.fixture
def reader(pairs: Pairs) -> Browser:
    return pairs.browsers["read"]


@pytest.fixture
def both(pairs: Pairs) -> str:
    """The query of the bad run with a good one."""
    return f"a={pairs.ids[BAD]}&b={pairs.ids[GOOD[0]]}"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def drawn(answer: Any) -> str:
    return json.dumps(answer)


def chosen(text: str, name: str) -> list[str]:
    """The selected values of a page's choice."""
    [inside] = re.findall(rf'<select name="{name}".*?</select>', text, flags=re.DOTALL)
    return re.findall(r'<option(?: value="([^"]*)")? selected>', inside)


def test_without_a_run_the_page_asks_for_one(reader: Browser, pairs: Pairs) -> None:
    text = reader.get("/compare").text
    assert "Choose a run." in text
    assert "data-figure" not in text
    for name in (BAD, *GOOD, STRANGER):
        assert f"pairs/{name} ({pairs.ids[name]})" in text
    for figure in FIGURES:
        assert reader.get(f"/compare/figures/{figure}").status == 204


def test_a_run_alone_is_compared_with_its_own_first_step(reader: Browser, pairs: Pairs) -> None:
    alone = f"a={pairs.ids[BAD]}"
    text = reader.get(f"/compare?{alone}").text
    assert f"step {LAST}" in text
    assert f"step {LAST} and step 0" in text
    told = html.unescape(reader.get(f"/compare/parts/differences?{alone}").text)
    assert f"bad: step {LAST} against step 0, 4 tensors." in told
    assert "Parts at step" not in told
    figure = drawn(reader.json(f"/compare/figures/courses?{alone}"))
    assert figure.count('"name": "Span"') == 2


def test_two_runs_are_compared_in_the_words_of_rest(
    reader: Browser, pairs: Pairs, both: str
) -> None:
    this, other = pairs.ids[BAD], pairs.ids[GOOD[0]]
    said = pairs.admin.get(f"/api/v1/runs/{this}/compare?with={other}")["sentences"]
    part = html.unescape(reader.get(f"/compare/parts/differences?{both}").text)
    for sentence in said:
        assert sentence in part
    assert f'<td class="n">{LEFT}</td>' in part
    page = reader.get(f"/compare?{both}").text
    assert "learning rate at the step" in page
    assert "<td>0.3</td><td>0.1</td>" in page


def test_the_tensor_that_differs_most_is_chosen_where_none_is_asked_for(
    reader: Browser, both: str
) -> None:
    text = reader.get(f"/compare?{both}").text
    assert re.search(r"<option selected>(blocks\.\d\.mlp\.up|head)\.weight</option>", text)
    asked = reader.get(f"/compare?{both}&tensor=blocks.1.mlp.up.weight").text
    assert "<option selected>blocks.1.mlp.up.weight</option>" in asked
    other = reader.get(f"/compare?{both}&role=unembedding&tensor=blocks.1.mlp.up.weight").text
    assert "<option selected>head.weight</option>" in other
    few = reader.get(f"/compare/parts/differences?{both}&match=blocks.%3F.*").text
    assert "blocks.1.mlp.up.weight" in few
    assert "head.weight" not in few


@pytest.mark.parametrize(
    "query",
    [
        "", "unit=sigma", "unit=log_magnitude&density=log", "span=all", "theme=dark&values=log",
        "stat=excess_kurtosis&values=auto", "axis=log&from=10&to=90", "from=9&to=3",
        "a_step=77&b_step=31", "tensor=no-such", "match=head*", "align=loss", "align=loss&axis=log",
    ],
)  # fmt: skip
def test_every_view_is_drawn(reader: Browser, pairs: Pairs, both: str, query: str) -> None:
    for figure in FIGURES:
        answer = reader.get(f"/compare/figures/{figure}?{both}&good={pairs.good}&{query}")
        is_lone = figure == "profiles" and query == "match=head*"
        assert answer.status == (204 if is_lone else 200), answer.text
    assert reader.get(f"/compare?{both}&{query}").status == 200


def test_densities_of_both_share_their_bins(reader: Browser, both: str) -> None:
    query = f"{both}&tensor=blocks.1.mlp.up.weight&span=all"
    found = rows(reader.get(f"/compare/figures/densities.csv?{query}").text)
    width = float(found[0]["high"]) - float(found[0]["low"])
    for name in (BAD, GOOD[0]):
        assert sum(float(row[name]) for row in found) * width == pytest.approx(1.0, abs=1e-6)
    spread = {name: sum(float(row[name]) > 0 for row in found) for name in (BAD, GOOD[0])}
    assert spread[BAD] > 5 * spread[GOOD[0]]


def test_the_profile_has_a_value_a_layer_and_side(reader: Browser, both: str) -> None:
    found = rows(reader.get(f"/compare/figures/profiles.csv?{both}&role=mlp.up").text)
    assert [row["layer"] for row in found] == [str(layer) for layer in range(LAYERS)]
    assert all(float(row[BAD]) > 5 * float(row[GOOD[0]]) for row in found)


def test_courses_are_aligned_by_the_lowest_loss(reader: Browser, both: str) -> None:
    found = rows(reader.get(f"/compare/figures/courses.csv?{both}&align=loss").text)
    mine = [float(row["loss"]) for row in found if row["side"] == BAD]
    assert len(mine) == SNAPSHOTS
    assert mine == sorted(mine, reverse=True)
    assert min(mine) == pytest.approx(3.0 / (1 + 0.1 * (SNAPSHOTS - 2)))
    figure = drawn(reader.json(f"/compare/figures/courses?{both}&align=loss"))
    assert '"flipped": true' in figure


def test_only_a_run_that_logs_tokens_is_aligned_by_them(
    reader: Browser, pairs: Pairs, both: str
) -> None:
    found = rows(reader.get(f"/compare/figures/courses.csv?{both}&align=tokens").text)
    assert {row["side"] for row in found} == {BAD}
    assert [float(row["tokens"]) for row in found] == [512.0 * int(row["step"]) for row in found]
    none = f"a={pairs.ids[GOOD[0]]}&b={pairs.ids[GOOD[1]]}&align=tokens"
    assert reader.get(f"/compare/figures/courses?{none}").status == 204


def test_the_bad_run_leaves_the_band_of_the_good_ones_when_it_grows(
    reader: Browser, pairs: Pairs, both: str
) -> None:
    query = f"{both}&good={pairs.good}"
    told = html.unescape(reader.get(f"/compare/parts/leaving?{query}").text)
    assert "2 of 2 groups of layers leave the band of <code>std</code>" in told
    assert told.index("blocks.*.mlp.up.weight") > 0
    assert told.count("<td>above</td>") == 2
    assert told.count("stays out") == 2
    steps = [int(step) for step in re.findall(r'<tr>\s*<td class="n">(\d+)</td>', told)]
    assert all(LEFT <= step <= LEFT + 3 * STEP for step in steps)
    figure = drawn(reader.json(f"/compare/figures/baseline?{query}&role=mlp.up"))
    assert f"leaves at step {steps[0]}" in figure
    assert "4 good runs" in figure


def test_a_run_is_not_held_against_itself(reader: Browser, pairs: Pairs) -> None:
    query = f"a={pairs.ids[GOOD[0]]}&good={pairs.good}"
    told = html.unescape(reader.get(f"/compare/parts/leaving?{query}").text)
    assert "With 3 good runs" in told
    assert "Good runs that leave the others" not in told


def test_two_good_runs_make_a_band_and_no_verdict(reader: Browser, pairs: Pairs, both: str) -> None:
    few = f"{pairs.ids[GOOD[0]]},{pairs.ids[GOOD[1]]}"
    told = reader.get(f"/compare/parts/leaving?{both}&good={few}").text
    assert "2 good runs say" in told
    assert "<table>" not in told
    assert "2 good runs" in drawn(reader.json(f"/compare/figures/baseline?{both}&good={few}"))


def test_the_data_of_the_band_has_every_group_and_step(
    reader: Browser, pairs: Pairs, both: str
) -> None:
    found = rows(reader.get(f"/compare/figures/baseline.csv?{both}&good={pairs.good}").text)
    assert len(found) == 2 * SNAPSHOTS
    for row in found:
        order = [float(row[name]) for name in ("least", "low", "median", "high", "most")]
        assert order == sorted(order)


def test_runs_with_nothing_in_common_are_said_to_have_none(reader: Browser, pairs: Pairs) -> None:
    query = f"a={pairs.ids[BAD]}&b={pairs.ids[STRANGER]}&match=blocks*&good={pairs.good}"
    assert reader.get(f"/compare?{query}").status == 200
    for figure in FIGURES:
        assert reader.get(f"/compare/figures/{figure}?{query}").status == 204
    problem = json.loads(reader.get(f"/compare/parts/differences?{query}", Accept="*/*").text)
    assert problem["status"] == 404
    assert "no tensor of run" in problem["detail"]


def test_a_run_without_snapshots_and_none_at_all_are_said_on_the_page(
    reader: Browser, pairs: Pairs
) -> None:
    empty = reader.get(f"/compare?a={pairs.ids['empty']}")
    assert empty.status == 200
    assert "has no measured snapshot yet" in empty.text
    assert "no run 999999" in reader.get("/compare?a=999999").text


@pytest.mark.parametrize(
    "query", ["a=x", "a=0", "a_step=-1", "stat=no-such", "align=time", "good=1%3B2", "unit=feet"]
)
def test_what_is_no_view_is_refused(reader: Browser, query: str) -> None:
    assert reader.get(f"/compare?{query}").status in (400, 422)


def test_too_many_good_runs_are_refused(reader: Browser, pairs: Pairs, both: str) -> None:
    many = ",".join(str(number) for number in range(1, 40))
    answer = reader.get(f"/compare/parts/leaving?{both}&good={many}", Accept="*/*")
    assert answer.status == 422
    assert "at most 20 good runs" in answer.text


def test_the_search_narrows_the_choice_and_keeps_what_is_chosen(
    reader: Browser, pairs: Pairs
) -> None:
    text = reader.get(f"/compare?a={pairs.ids[BAD]}&search=good-3").text
    assert chosen(text, "a") == [str(pairs.ids[BAD])]
    assert "pairs/good-3" in text
    assert "pairs/good-2" not in text


def test_names_from_users_are_text(reader: Browser, pairs: Pairs, both: str) -> None:
    path = f"/api/v1/runs/{pairs.ids[BAD]}"

    def rename(name: str | None) -> None:
        body = json.dumps({"display_name": name}).encode()
        json_type = {"Content-Type": "application/json"}
        status, _ = pairs.admin.request("PATCH", path, body=body, headers=json_type)
        assert status == 200

    rename(HOSTILE)
    try:
        for place in ("/compare", "/compare/parts/differences", "/compare/parts/leaving"):
            text = reader.get(f"{place}?{both}&good={pairs.good}").text
            assert "<img" not in text.replace('<img src="/assets/icon.svg', "")
        assert html.escape(HOSTILE) in reader.get(f"/compare?{both}").text
    finally:
        rename(None)


def test_a_confined_token_sees_no_run_of_another_project(pairs: Pairs, both: str) -> None:
    elsewhere = pairs.browsers["elsewhere"]
    text = elsewhere.get(f"/compare?{both}&good={pairs.good}").text
    assert "pairs/" not in text
    assert "good-1" not in text
    for figure in FIGURES:
        for end in ("", ".csv"):
            path = f"/compare/figures/{figure}{end}?{both}&good={pairs.good}"
            assert elsewhere.get(path).status == 404
    for part in ("differences", "leaving"):
        path = f"/compare/parts/{part}?{both}&good={pairs.good}"
        assert elsewhere.get(path).status == 404


def test_nobody_without_a_token_sees_anything(pairs: Pairs, both: str) -> None:
    nobody = pairs.browsers["none"]
    assert nobody.get(f"/compare?{both}").headers["location"].startswith("/sign-in?")
    assert nobody.get(f"/compare/figures/densities?{both}").status == 401


@pytest.fixture(scope="module")
def left(pairs: Pairs) -> int:
    """The id of an alert about the bad run and the good ones."""
    wanted = f"/api/v1/alerts?run={pairs.ids[BAD]}&kind=leaves_baseline"
    [alert] = wait_for(lambda: pairs.admin.get(wanted)["items"], "the alert about the baseline")
    return int(alert["id"])


def test_an_alert_about_a_baseline_shows_the_band_and_leads_here(
    reader: Browser, pairs: Pairs, left: int
) -> None:
    text = reader.get(f"/alerts/{left}").text
    assert "<b>steady</b>" not in text
    told = html.unescape(text)
    good = pairs.good.replace(",", "%2C")
    compared = f"a={pairs.ids[BAD]}&b={pairs.ids[GOOD[0]]}&good={good}&stat=std"
    assert f"/compare?{compared}&tensor=blocks.0.mlp.up.weight" in told
    assert reader.get(f"/compare?{compared}").status == 200
    assert f"/alerts/{left}/evidence" not in told
    figure = drawn(reader.json(f"/alerts/{left}/figures/evidence?span=run"))
    assert "4 good runs" in figure
    assert "where it may be before it is told of" in figure
    classes = drawn(reader.json(f"/alerts/{left}/figures/evidence?stat=shape_class"))
    assert "4 good runs" not in classes


def test_an_alert_about_a_baseline_cannot_be_run_again(pairs: Pairs, left: int) -> None:
    status, problem = pairs.admin.request("GET", f"/api/v1/alerts/{left}/evidence")
    assert status == 409
    assert "rests on other runs" in problem["detail"]


def test_the_band_of_an_alert_is_drawn_without_good_runs_that_are_gone(
    reader: Browser, pairs: Pairs, left: int
) -> None:
    with resting_on(pairs, left, {GOOD[0]: 10**9}):
        assert "3 good runs" in drawn(reader.json(f"/alerts/{left}/figures/evidence"))
        assert f"&b={pairs.ids[GOOD[1]]}&" in html.unescape(reader.get(f"/alerts/{left}").text)
    with resting_on(pairs, left, dict.fromkeys(GOOD, 10**9)):
        assert "good runs" not in drawn(reader.json(f"/alerts/{left}/figures/evidence"))


@contextmanager
def resting_on(pairs: Pairs, alert: int, others: dict[str, int]) -> Iterator[None]:
    """The alert's evidence names these runs instead, for as long as this is open."""
    database = Database(f"sqlite:///{pairs.server.data_dir / 'bifurk.db'}")

    def change(evidence: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        with database.write() as session:
            stored = session.get_one(StoredAlert, alert)
            before = dict(stored.evidence)
            stored.evidence = evidence(before)
        return before

    before = change(lambda told: {**told, "good": {**told["good"], **others}})
    try:
        yield
    finally:
        change(lambda _told: before)
        database.close()
