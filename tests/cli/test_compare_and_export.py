"""`bifurk compare` and `bifurk export` against a running server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray

from tests.api.filling import Caller, Filled
from tests.cli.conftest import Run, document
from tests.parts import make_part, make_tensor, weights_at
from tests.server import Server

LARGE = "blocks.0.mlp.up.weight"
SNAPSHOTS = 5


@pytest.fixture(scope="module")
def pair(server: Server) -> tuple[int, int]:
    """Ids of a faulty run, whose one matrix is three times as large from step 20 on, and a good."""
    rest = Caller(server)
    for sequence in range(SNAPSHOTS):
        good = make_part(sequence, project="pair", run="good", full=False)
        tripled = make_tensor(LARGE, 3 * weights_at(sequence)[LARGE], full=False)
        tensors = [tripled if t.name == LARGE and sequence >= 2 else t for t in good.tensors]
        manifest = replace(good.manifest, run="faulty")
        rest.post_part(good)
        rest.post_part(replace(good, manifest=manifest, tensors=tuple(tensors)))
    ids = rest.run_id("pair", "faulty"), rest.run_id("pair", "good")
    for run in ids:
        rest.wait_until_judged(run, SNAPSHOTS)
    return ids


def test_two_runs_are_compared_in_words(bifurk: Run, server: Server, pair: tuple[int, int]) -> None:
    answer = bifurk("compare", "pair/faulty", "pair/good", "--url", server.url)
    assert answer.returncode == 0, answer.stderr
    first, where, which, how_far, blank, header, row = answer.stdout.splitlines()
    assert first == "faulty (step 40) against good (step 40): 4 tensors of the same name."
    assert where.startswith("They part at step 20 and are equal until step 10")
    assert f"of {LARGE} is" in where
    assert where.endswith("3 times as large.")
    assert which == "First to part: 1 of 2 matrices, in layer 0. No other follows."
    assert how_far.startswith(f"The distributions differ most in {LARGE} (KS 0.2")
    assert blank == ""
    assert header.split("\t")[:3] == ["TENSOR", "LAYER", "PARTED AT"]
    assert row.split("\t")[:3] == [LARGE, "0", "20"]


def test_a_run_beside_itself_needs_another_step(
    bifurk: Run, server: Server, pair: tuple[int, int]
) -> None:
    same = bifurk("compare", "pair/good", str(pair[1]), "--url", server.url)
    assert same.returncode == 1
    assert f"both names mean pair/good (id {pair[1]})" in same.stderr
    assert "--with-step" in same.stderr
    steps = bifurk("compare", "pair/good", "pair/good", "--with-step", "10", "--url", server.url)
    assert steps.returncode == 0, steps.stderr


def test_the_comparison_is_the_rest_answer_as_json(
    bifurk: Run, server: Server, pair: tuple[int, int]
) -> None:
    this, other = pair
    shown = document(
        bifurk("compare", str(this), str(other), "--step", "10", "--json", BIFURK_URL=server.url)
    )
    assert shown == Caller(server).get(f"/api/v1/runs/{this}/compare?with={other}&step=10")


def test_identical_runs_are_said_to_be_identical(
    bifurk: Run, server: Server, pair: tuple[int, int]
) -> None:
    rest = Caller(server)
    rest.post_part(make_part(0, project="pair", run="twin", full=False))
    rest.wait_until_judged(rest.run_id("pair", "twin"), 1)
    done = bifurk("compare", "pair/twin", "pair/good", "--url", server.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "They do not part: every compared statistic is the same (1 common step, 0 to 0).",
        "The distributions of 4 tensors are the same.",
    ]


def test_what_cannot_be_compared_is_one_line(
    bifurk: Run, server: Server, pair: tuple[int, int]
) -> None:
    for arguments, said in (
        (["faulty", "nowhere"], "no run 'nowhere'"),
        (["faulty", "faulty"], "--with-step"),
        (["faulty", "good", "--step", "7"], "the nearest is at step"),
        (["faulty", "good", "--tensor", "nothing"], "0 match"),
    ):
        answer = bifurk("compare", *arguments, "--url", server.url)
        assert answer.returncode == 1
        [line] = answer.stderr.strip().splitlines()
        assert said in line


def test_a_run_is_exported_to_parquet(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    answer = bifurk("export", "tests/run", "run.parquet", "--url", server.url)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("wrote run.parquet (")
    table = pq.read_table(tmp_path / "run.parquet")
    assert table.num_rows == 4 * 6
    assert [path.name for path in tmp_path.iterdir()] == ["run.parquet"]


def test_a_run_is_exported_to_netcdf(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    answer = bifurk("export", str(filled.run), "run.nc", "--url", server.url)
    assert answer.returncode == 0, answer.stderr
    with xarray.open_dataset(tmp_path / "run.nc", engine="scipy") as data:
        assert data["step"].values.tolist() == [0, 10, 20, 30, 40, 50]
        [found] = Caller(server).get(f"/api/v1/runs/{filled.run}/series?stat=std&tensor={LARGE}")[
            "items"
        ]
        assert np.array_equal(data["std"].sel(tensor=LARGE).values, found["values"])
        assert data.attrs["run"] == "run"


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    for arguments, code in (
        (["tests/run", "nowhere/run.parquet"], 1),
        (["nowhere", "run.parquet"], 1),
        (["tests/run", "run.csv"], 2),
    ):
        answer = bifurk("export", *arguments, "--url", server.url)
        assert answer.returncode == code
        assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_when_an_export_fails(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    (tmp_path / "run.parquet").write_bytes(b"before")
    assert bifurk("export", "nowhere", "run.parquet", "--url", server.url).returncode == 1
    assert (tmp_path / "run.parquet").read_bytes() == b"before"
