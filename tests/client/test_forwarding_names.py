"""Whatever was logged stands in MLflow: one name that it does not like costs no other's values."""

from __future__ import annotations

from typing import Any

import pytest

from bifurk.forwarding.forwards import Forwards
from bifurk.forwarding.mlflow_names import MOST_CHARACTERS, MlflowNames
from bifurk.wire import ScalarSummary

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

LONG = "x" * 252


@pytest.fixture(autouse=True)
def active(mlflow: Any) -> None:
    mlflow.start_run()


def forwarded(mlflow: Any, *rows: dict[str, float]) -> dict[str, list[tuple[int, float]]]:
    """What MLflow has of each metric, without the prefix, after these rows, one a step."""
    forwards = Forwards()
    forwards.add("mlflow", ())
    for step, row in enumerate(rows):
        summaries = {
            name: ScalarSummary(last=value, mean=value, min=value, max=value, count=1)
            for name, value in row.items()
        }
        forwards.scalars(step, summaries)
    assert forwards.close(30.0)
    client, run_id = mlflow.MlflowClient(), mlflow.active_run().info.run_id
    names = client.get_run(run_id).data.metrics
    return {
        name.removeprefix("bifurk/"): [
            (point.step, point.value) for point in client.get_metric_history(run_id, name)
        ]
        for name in names
    }


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("loss", "a//b"), ("loss", "a/b")),
        (("loss", LONG), ("loss", LONG[:243])),
        ((LONG + "1", LONG + "2"), (LONG[:243], LONG[:241] + "_2")),
        (("loss", "..", "a/./b", "/", "c/"), ("loss", "__", "a/_/b", "_", "c")),
        (("loss", "loss/val"), ("loss", "loss_val")),
        (("loss/val", "loss"), ("loss/val", "loss_2")),
        (("lr[0]", "lr(0)", "lr{0}"), ("lr_0_", "lr_0__2", "lr_0__3")),
        (("a/b", "a//b"), ("a/b", "a_b")),
    ],
)
def test_every_name_has_a_metric_of_its_own(
    mlflow: Any, names: tuple[str, ...], keys: tuple[str, ...]
) -> None:
    row = {name: float(value) for value, name in enumerate(names)}
    assert forwarded(mlflow, row, row) == {
        key: [(0, float(value)), (1, float(value))] for value, key in enumerate(keys)
    }


def test_a_name_stands_under_one_key_and_a_strange_one_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = MlflowNames()
    names.key_of("loss")
    keys = {names.key_of(name) for name in (LONG, LONG, "loss/val", "loss/val")}
    assert len(keys) == 2
    assert max(map(len, keys)) == MOST_CHARACTERS
    assert len(caplog.records) == 2
    assert "'loss/val' as it is: it stands there as 'bifurk/loss_val'" in caplog.text


def test_what_mlflow_does_not_take_costs_nobody_else_a_value(
    mlflow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # The script itself has made a folder of the name.
    mlflow.log_metric("bifurk/loss/own", 7.0)
    row = {"aaa": 1.0, "loss": 2.0, "zzz": 3.0}
    found = forwarded(mlflow, row, row, row)
    assert found.pop("loss/own") == [(0, 7.0)]
    assert {name: sorted(set(points)) for name, points in found.items()} == {
        "aaa": [(0, 1.0), (1, 1.0), (2, 1.0)],
        "zzz": [(0, 3.0), (1, 3.0), (2, 3.0)],
    }
    [record] = caplog.records
    assert "MLflow does not take 'loss'" in record.getMessage()


def test_a_run_that_takes_nothing_is_said_once_for_all(
    mlflow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client, run_id = mlflow.MlflowClient(), mlflow.active_run().info.run_id
    client.delete_run(run_id)
    forwarded(mlflow, {"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0})
    client.restore_run(run_id)
    assert "forwarding to mlflow failed" in caplog.text
    assert "does not take" not in caplog.text
