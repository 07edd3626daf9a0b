"""The page of real runs: its tables say what was collected, and its numbers are the stored ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.trainings.page import filled
from benchmarks.trainings.spectra_tables import BY_ROLE, onset, tables

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/methods/real-runs.md"
RESULTS = PROJECT / "benchmarks/results/spectra_of_training.json"
STEPS = [0, 20, 40, 60]


def matrix(role: str, layer: int | None, **statistics: Any) -> dict[str, Any]:
    return {"name": f"{layer}.{role}", "layer": layer, "role": role, "shape": [128, 64]} | {
        "std": [0.02, 0.02],
        "shape_class": ["gaussian", "gaussian"],
        "spectrum_outliers": [0, 0, 0, 0],
        **statistics,
    }


def run(seed: int, matrices: list[dict[str, Any]], *, control: bool = False) -> dict[str, Any]:
    return {
        "name": f"run-{seed}",
        "seed": seed,
        "control": control,
        "loss": {"first": 4.5, "last": 1.75},
        "steps": STEPS,
        "matrices": matrices,
    }


def made(*runs: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Every table as rows of cells, without the line under its head."""
    results = {"unigram_entropy": 3.1469, "runs": list(runs)}
    return {
        name: [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n")]
        for name, text in tables(results).items()
    }


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([0, 0, 1, 2], 40),
        ([1, 0, 2, 1], 40),
        ([0, 3, 0, 1], None),
        ([None, None, None, None], None),
        ([1, None, 0, 0], None),
        ([1, 1, 0, 0], 0),
    ],
)
def test_an_outlier_has_appeared_when_it_is_there_at_two_snapshots_running(
    counts: list[int | None], expected: int | None
) -> None:
    assert onset(matrix("mlp.up", 0, spectrum_outliers=counts), STEPS) == expected


def test_runs_and_controls_stand_side_by_side() -> None:
    up = matrix("mlp.up", 0)
    found = made(run(1, [up], control=True), run(2, [up]), run(1, [up]))
    assert found["onset"][0] == ["role", "run 1", "run 2", "control 1"]


def test_first_steps_of_a_role_come_as_median_range_and_share() -> None:
    layers = [
        matrix("mlp.up", 0, spectrum_outliers=[0, 1, 1, 1]),
        matrix("mlp.up", 1, spectrum_outliers=[0, 0, 2, 2]),
        matrix("mlp.up", 2),
        matrix("mlp.up", 3, spectrum_outliers=[None] * 4),
    ]
    silent = matrix("embedding", None, spectrum_outliers=[None] * 4)
    found = made(run(1, [*layers, silent]))
    assert found["onset"][2:] == [["`mlp.up`", "30 (20 to 40); 2 of 3"], ["`embedding`", "-"]]


def test_growth_with_depth_is_a_rank_correlation_over_layers() -> None:
    layers = [matrix("mlp.up", i, std=[0.02, 0.02 + 0.01 * i**2]) for i in range(5)]
    outside = matrix("mlp.up", None, std=[0.02, 0.9])
    found = made(run(1, layers), run(2, layers[:3]), run(3, [*layers, outside]))
    assert [cell.split(" / ")[1:] for cell in found["depth"][2][1:]] == [
        ["+1.00", "+1.00"],
        ["-", "-"],
        ["+1.00", "+1.00"],
    ]


def test_classes_are_counted_at_both_ends() -> None:
    layers = [
        matrix("mlp.up", 0, shape_class=["gaussian", "laplace_like"]),
        matrix("mlp.up", 1),
        matrix("mlp.up", 2),
    ]
    found = made(run(1, layers), run(2, layers[1:]))
    assert found["shapes"][2][1:] == ["gaussian → 2 gaussian, 1 laplace_like", "gaussian"]
    assert found["glance"][-1] == ["another shape class than at the start", "1", "0"]


def test_what_the_server_did_not_measure_is_left_open() -> None:
    bare = {"name": "w", "layer": 0, "role": "mlp.up", "shape": [128, 64]}
    found = made(run(1, [bare]))
    for name in BY_ROLE:
        assert set(found[name][2][1].replace("→", "").replace("/", "").split()) <= {
            "-",
            "withheld",
        }, name


def test_tables_go_between_their_markers_and_the_prose_stays() -> None:
    page = (
        "Before.\n<!-- numbers: a -->\nold\n<!-- end -->\nBetween.\n"
        "<!-- numbers: b -->\n<!-- end -->\n"
    )
    once = filled(page, {"a": "| A |", "b": "| B |"})
    assert once == (
        "Before.\n<!-- numbers: a -->\n\n| A |\n\n<!-- end -->\nBetween.\n"
        "<!-- numbers: b -->\n\n| B |\n\n<!-- end -->\n"
    )
    assert filled(once, {"a": "| A |", "b": "| B |"}) == once


@pytest.mark.parametrize("given", [{"a": ""}, {"a": "", "b": "", "c": ""}])
def test_a_page_without_a_place_for_each_table_is_refused(given: dict[str, str]) -> None:
    page = "<!-- numbers: a -->\n<!-- end -->\n<!-- numbers: b -->\n<!-- end -->\n"
    with pytest.raises(ValueError, match="places for"):
        filled(page, given)


def test_the_numbers_of_the_page_are_those_that_were_stored() -> None:
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, tables(stored)) == page
