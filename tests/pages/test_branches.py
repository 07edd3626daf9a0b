"""The page of branches: which layers, coloured by which fork, and what stands there without one."""

from __future__ import annotations

import csv
import html
import io
import json

import pytest

from tests.pages.forked import HOSTILE, LAYERS, SNAPSHOTS, STEP
from tests.pages.serving import Browser, Served


@pytest.fixture
def here(served: Served) -> str:
    return f"/runs/{served.forked}/branches"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_page_opens_on_the_newest_fork(served: Served, admin: Browser, here: str) -> None:
    fork = served.alert("branch_split")
    text = html.unescape(admin.get(here).text)
    assert fork["sentence"] in text
    assert f'href="/alerts/{fork["id"]}"' in text
    assert f'<option value="{fork["statistic"]}" selected>' in text
    assert "upper branch; began between" in text


def test_layers_are_coloured_by_branch_and_without_it_by_depth(admin: Browser, here: str) -> None:
    by_branch = json.dumps(admin.json(f"{here}/figures/trajectories"))
    assert "upper branch" in by_branch
    assert "ColorBar" not in by_branch
    by_depth = json.dumps(admin.json(f"{here}/figures/trajectories?alert=none"))
    assert "upper branch" not in by_depth
    assert "ColorBar" in by_depth


@pytest.mark.parametrize(
    "query",
    [
        "values=log", "values=relative", "axis=log", "from=10&to=200", "from=9&to=3",
        "role=mlp.up&stat=std&alert=none", "at=255", "theme=dark",
    ],
)  # fmt: skip
def test_every_control_draws(admin: Browser, here: str, query: str) -> None:
    for figure in ("trajectories", "depth"):
        assert admin.json(f"{here}/figures/{figure}?{query}")["doc"]
    assert admin.get(f"{here}?{query}").status == 200


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "role=no-such",
            "no two layers of this run have a tensor of role 'no-such'; those of mlp.up",
        ),
        ("role=unembedding", "no two layers of this run have a tensor of role 'unembedding'"),
        ("alert=999999", "no alert 999999 parted layers of this run"),
        ("alert={shift}", "no alert {shift} parted layers of this run"),
    ],
)
def test_what_is_not_there_is_said_and_nothing_else_shown(
    served: Served, admin: Browser, here: str, query: str, told: str
) -> None:
    kinds = ("branch_split", "layer_departure")
    every = served.admin.get(f"/api/v1/alerts?run={served.forked}")["items"]
    shift = next(alert["id"] for alert in every if alert["kind"] not in kinds)
    query, told = query.format(shift=shift), told.format(shift=shift)
    for path in (here, f"{here}/figures/trajectories", f"{here}/figures/order.csv"):
        answer = admin.get(f"{path}?{query}")
        assert answer.status == 404, path
        assert told in html.unescape(answer.text)


@pytest.mark.parametrize("query", ["stat=no_such", "alert=x", "at=-1", "values=cubic"])
def test_what_no_control_asks_for_is_refused(admin: Browser, here: str, query: str) -> None:
    assert admin.get(f"{here}/figures/trajectories?{query}").status == 422


def test_the_data_tells_branch_and_value(admin: Browser, here: str) -> None:
    found = rows(admin.get(f"{here}/figures/trajectories.csv?stat=std").text)
    assert len(found) == LAYERS * SNAPSHOTS
    branches = {int(row["layer"]): row["branch"] for row in found}
    assert branches == {layer: "1" if layer < LAYERS // 2 else "0" for layer in range(LAYERS)}
    relative = rows(admin.get(f"{here}/figures/trajectories.csv?stat=std&values=relative").text)
    assert {float(row["value"]) for row in relative if row["step"] == "0"} == {1.0}


def test_the_profile_is_of_the_step_asked_for(admin: Browser, here: str) -> None:
    assert "at step 250" in json.dumps(admin.json(f"{here}/figures/depth?at=252"))
    assert f"at step {(SNAPSHOTS - 1) * STEP}" in json.dumps(admin.json(f"{here}/figures/depth"))
    assert "at step 100" in json.dumps(admin.json(f"{here}/figures/depth?to=100"))
    found = rows(admin.get(f"{here}/figures/depth.csv").text)
    assert len(found) == SNAPSHOTS
    assert len(found[0]) == LAYERS + 1


def test_the_order_of_onset_is_listed_and_drawn(served: Served, admin: Browser, here: str) -> None:
    fork = served.alert("branch_split")
    order = [row["name"] for row in rows(admin.get(f"{here}/figures/order.csv").text)]
    assert order == [one["name"] for one in fork["tensors"]]
    assert admin.json(f"{here}/figures/order")["doc"]
    assert admin.get(f"{here}/figures/order?alert=none").status == 204


def test_a_run_without_two_layers_or_a_fork_says_so(served: Served, admin: Browser) -> None:
    run = f"/runs/{served.filled.run}/branches"
    text = admin.get(run).text
    assert "No role of this run has two layers" in text
    assert "No fork was told of this run" in text
    assert "data-figure" not in text
    for figure in ("trajectories", "depth", "order"):
        assert admin.get(f"{run}/figures/{figure}").status == 204
        assert len(rows(admin.get(f"{run}/figures/{figure}.csv").text)) == 0


def test_names_are_text(served: Served, admin: Browser, here: str) -> None:
    with served.renamed(HOSTILE):
        text = admin.get(here).text
    assert HOSTILE not in text
    assert html.escape(HOSTILE) in text


def test_what_is_elsewhere_is_hidden(served: Served, here: str) -> None:
    for path in ("", "/figures/trajectories", "/figures/order.csv"):
        assert served.browsers["elsewhere"].get(here + path).status == 404
        assert served.browsers["read"].get(here + path).status == 200
