"""A tensor's page and its figures, over HTTP, for tensors of every kind."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bifurk.wire import Part
from tests.api.filling import Caller
from tests.parts import make_part, make_tensor
from tests.server import Server

SNAPSHOTS = 8
BROKEN_AT = 5
"""From this sequence on one tensor is nothing but NaN."""
HOSTILE = "<script>alert(1)</script>.weight"
UP = "blocks.{}.mlp.up.weight"
FUSED = "blocks.0.attention.qkv.weight"
FIGURES = ("garden", "histogram", "spectrum")
DATA = ("garden", "statistics", "spectra", "histogram", "spectrum")


def part(sequence: int) -> Part:
    rng = np.random.default_rng(sequence)
    growth = 1 + sequence
    apart = rng.normal(0, 0.1, 900) + np.where(np.arange(900) % 2, 1, -1) * sequence
    ups = [
        replace(
            make_tensor(UP.format(layer), (growth * rng.normal(size=(40, 48))).astype(np.float32)),
            layer=layer,
        )
        for layer in range(3)
    ]
    others = {
        "apart.bias": apart,
        "equal.bias": np.full(32, 0.5),
        "zero.bias": np.zeros(32),
        "broken.bias": np.full(32, np.nan) if sequence >= BROKEN_AT else rng.normal(size=32),
        HOSTILE: rng.normal(size=(3, 4)),
    }
    fused = replace(
        make_tensor(FUSED, rng.normal(size=(96, 32)).astype(np.float32)), role="attention.qkv"
    )
    return replace(
        make_part(sequence, project="garden", run="plot"),
        tensors=(
            *ups,
            fused,
            *(make_tensor(name, one.astype(np.float32)) for name, one in others.items()),
        ),
    )


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    server = Server(tmp_path_factory.mktemp("garden") / "data")
    yield Caller(server)
    server.stop()


@pytest.fixture(scope="module")
def tensors(caller: Caller) -> dict[str, str]:
    """The path of every tensor's page, by name."""
    for sequence in range(SNAPSHOTS):
        caller.post_part(part(sequence))
    run = caller.run_id("garden", "plot")
    caller.wait_until_judged(run, SNAPSHOTS)
    items = caller.get(f"/api/v1/runs/{run}/tensors")["items"]
    return {one["name"]: f"/runs/{run}/tensors/{one['id']}" for one in items}


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def models(document: Any, name: str) -> list[dict[str, Any]]:
    """Attributes of every model of a kind in a figure's JSON."""
    found = []

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("name") == name and node.get("type") == "object":
                found.append(node.get("attributes", {}))
            for value in node.values():
                visit(value)
        elif isinstance(node, list):
            for value in node:
                visit(value)

    visit(document)
    return found


def titles(document: Any) -> list[str]:
    return [one["text"] for one in models(document, "Title") if "text" in one]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_page_tells_of_the_tensor_and_its_kin(caller: Caller, tensors: dict[str, str]) -> None:
    page = caller.get(tensors[UP.format(1)])
    assert f'rel="prev" data-keeps-view href="{tensors[UP.format(0)]}"' in page
    assert f'rel="next" data-keeps-view href="{tensors[UP.format(2)]}"' in page
    assert "40\N{MULTIPLICATION SIGN}48" in page
    assert f"Statistics at step {10 * (SNAPSHOTS - 1)}" in text_of(page)
    steps = json.loads(re.search(r"data-steps=\"([^\"]+)\"", page)[1])  # type: ignore[index]
    assert steps == [10 * sequence for sequence in range(SNAPSHOTS)]


def test_the_first_and_the_last_have_one_neighbour(caller: Caller, tensors: dict[str, str]) -> None:
    assert 'rel="prev"' not in caller.get(tensors[UP.format(0)])
    assert 'rel="next"' not in caller.get(tensors[UP.format(2)])


def test_a_step_between_two_is_shown_as_the_one_before(
    caller: Caller, tensors: dict[str, str]
) -> None:
    assert "Statistics at step 20" in text_of(caller.get(f"{tensors[UP.format(1)]}?step=29"))
    assert "Statistics at step 0" in text_of(caller.get(f"{tensors[UP.format(1)]}?step=0"))


def test_what_a_name_says_is_text(caller: Caller, tensors: dict[str, str]) -> None:
    page = caller.get(tensors[HOSTILE])
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("query", ["", "?axis=log&unit=sigma&density=linear", "?from=20&to=50"])
def test_all_figures_over_steps_share_one_range(
    caller: Caller, tensors: dict[str, str], query: str
) -> None:
    document = caller.get(f"{tensors[UP.format(1)]}/figures/garden{query}")
    ranges = [one for one in models(document, "Range1d") if one.get("name") == "steps"]
    assert len(ranges) == 1
    named = titles(document)
    assert named[0] == f"Garden: density at {SNAPSHOTS} of {SNAPSHOTS} snapshots"
    assert any(title.startswith("Spectrum") for title in named)
    assert sum(title.startswith("Motion") for title in named) == 3


def test_the_chosen_step_is_marked_in_every_figure(caller: Caller, tensors: dict[str, str]) -> None:
    document = caller.get(f"{tensors[UP.format(1)]}/figures/garden?step=30")
    marks = [one for one in models(document, "Span") if str(one.get("name")).startswith("at-")]
    assert len(marks) == len(titles(document))
    assert {one["location"] for one in marks} == {30.0}


def test_densities_are_those_of_the_values(caller: Caller, tensors: dict[str, str]) -> None:
    found = rows(caller.get(f"{tensors['apart.bias']}/figures/garden.csv?span=all"))
    assert {int(row["step"]) for row in found} == {10 * one for one in range(SNAPSHOTS)}
    last = [row for row in found if int(row["step"]) == 70]
    low, high, density = (
        np.array([float(row[name]) for row in last]) for name in ("low", "high", "density")
    )
    assert ((high - low) * density).sum() == pytest.approx(1, abs=1e-6)
    # Two modes at -7 and 7, and nothing in between.
    assert density[(low > -6) & (high < 6)].max() == 0
    named = json.dumps(caller.get(f"{tensors['apart.bias']}/figures/garden?span=all"))
    assert '"modes"' in named


def test_the_histogram_is_of_the_step(caller: Caller, tensors: dict[str, str]) -> None:
    path = f"{tensors[UP.format(1)]}/figures"
    assert titles(caller.get(f"{path}/histogram?step=20"))[0] == "Values at step 20"
    for step in (0, 70):
        found = rows(caller.get(f"{path}/histogram.csv?step={step}&span=all"))
        share = sum((float(r["high"]) - float(r["low"])) * float(r["density"]) for r in found)
        assert share == pytest.approx(1, abs=1e-6)


def test_the_spectrum_is_numpys(caller: Caller, tensors: dict[str, str]) -> None:
    path = f"{tensors[UP.format(1)]}/figures"
    found = rows(caller.get(f"{path}/spectrum.csv?step=30"))
    values = part(3).tensors[1].values
    assert values is not None
    exact = np.linalg.svd(values.float64().reshape(40, 48), compute_uv=False)
    assert [float(row["singular_value"]) for row in found] == pytest.approx(exact, rel=1e-5)
    over_steps = rows(caller.get(f"{path}/spectra.csv"))
    assert len(over_steps) == SNAPSHOTS * 40
    assert titles(caller.get(f"{path}/spectrum?step=30"))[0] == "Spectrum at step 30"


def test_statistics_over_steps_are_rests(caller: Caller, tensors: dict[str, str]) -> None:
    found = rows(caller.get(f"{tensors[UP.format(1)]}/figures/statistics.csv"))
    run, tensor = re.findall(r"\d+", tensors[UP.format(1)])
    rest = caller.get(f"/api/v1/runs/{run}/tensors/{tensor}/statistics?step=40")["values"]
    assert float(found[4]["std"]) == pytest.approx(rest["std"])
    assert float(found[4]["quantile_p50"]) == pytest.approx(rest["quantile_p50"])


def test_without_a_spectrum_the_page_says_why(caller: Caller, tensors: dict[str, str]) -> None:
    path = tensors["apart.bias"]
    assert "not a matrix" in text_of(caller.get(path))
    assert caller.request("GET", f"{path}/figures/spectrum")[0] == 204


def test_a_piece_is_drawn_between_its_quantiles_and_leads_to_the_whole(
    caller: Caller, tensors: dict[str, str]
) -> None:
    path = tensors[f"{FUSED}[query]"]
    page = caller.get(path)
    assert f'href="{tensors[FUSED]}"' in page
    assert titles(caller.get(f"{path}/figures/garden"))[0] == (
        "Garden: density from stored quantiles"
    )
    assert titles(caller.get(f"{path}/figures/histogram"))[0].endswith("from quantiles")
    assert f'href="{path}"' in caller.get(tensors[FUSED])


@pytest.mark.parametrize(
    ("name", "query", "reason"),
    [
        ("equal.bias", "?unit=sigma", "All values are equal"),
        ("zero.bias", "?unit=log_magnitude", "All values are zero"),
        ("broken.bias", "", "No value is finite"),
    ],
)
def test_where_there_is_no_histogram_the_page_says_why(
    caller: Caller, tensors: dict[str, str], name: str, query: str, reason: str
) -> None:
    assert reason in text_of(caller.get(f"{tensors[name]}{query}"))
    assert caller.request("GET", f"{tensors[name]}/figures/histogram{query}")[0] == 204


@pytest.mark.parametrize("name", ["equal.bias", "zero.bias", "broken.bias", HOSTILE, FUSED])
@pytest.mark.parametrize("unit", ["weight", "sigma", "log_magnitude"])
@pytest.mark.parametrize("more", ["", "&axis=log&span=all&density=linear&step=0&theme=dark"])
def test_every_tensor_is_drawn_in_every_unit(
    caller: Caller, tensors: dict[str, str], name: str, unit: str, more: str
) -> None:
    for figure in FIGURES:
        status, _ = caller.request("GET", f"{tensors[name]}/figures/{figure}?unit={unit}{more}")
        assert status in (200, 204)
    for data in DATA:
        assert (
            caller.request("GET", f"{tensors[name]}/figures/{data}.csv?unit={unit}{more}")[0] == 200
        )


def test_broken_values_are_marked_and_told_in_alerts(
    caller: Caller, tensors: dict[str, str]
) -> None:
    document = json.dumps(caller.get(f"{tensors['broken.bias']}/figures/garden"))
    assert '"NaN or infinite"' in document
    assert "/alerts/" in document
    page = caller.get(tensors["broken.bias"])
    assert 'class="badge critical"' in page
    assert "none: no value is finite" in text_of(page)


@pytest.mark.parametrize("name", ["zero.bias", UP.format(1), HOSTILE])
def test_the_alerts_shown_are_those_that_name_it(
    caller: Caller, tensors: dict[str, str], name: str
) -> None:
    run, tensor = map(int, re.findall(r"\d+", tensors[name]))
    alerts = caller.get(f"/api/v1/alerts?run={run}&limit=200")["items"]
    named = {one["id"] for one in alerts if tensor in [t["id"] for t in one["tensors"]]}
    page = caller.get(tensors[name])
    assert {int(one) for one in re.findall(r"/alerts/(\d+)", page)} == named
    assert ("No alert names this tensor" in page) == (not named)


def test_before_anything_is_measured_the_page_says_so(caller: Caller) -> None:
    caller.post_part(make_part(1, project="garden", run="waiting", expected_parts=2))
    run = caller.run_id("garden", "waiting")
    [tensor, *_] = caller.get(f"/api/v1/runs/{run}/tensors")["items"]
    path = f"/runs/{run}/tensors/{tensor['id']}"
    assert "No snapshot of this tensor is measured yet" in text_of(caller.get(path))
    for figure in FIGURES:
        assert caller.request("GET", f"{path}/figures/{figure}")[0] == 204
    for data in DATA:
        assert rows(caller.get(f"{path}/figures/{data}.csv")) == []


def test_what_is_not_there_is_not_found(caller: Caller, tensors: dict[str, str]) -> None:
    run = re.findall(r"\d+", tensors[FUSED])[0]
    for path in (f"/runs/{run}/tensors/999999", f"/runs/{run}/tensors/999999/figures/garden"):
        assert caller.request("GET", path)[0] == 404


@pytest.mark.parametrize("query", ["?unit=furlong", "?step=-1", "?axis=cubic", "?density=loud"])
def test_what_cannot_be_shown_is_refused(
    caller: Caller, tensors: dict[str, str], query: str
) -> None:
    assert caller.request("GET", f"{tensors[FUSED]}{query}")[0] == 422
