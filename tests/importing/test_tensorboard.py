"""TensorBoard's event files as real writers write them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from torch.utils.tensorboard import SummaryWriter

from bifurk_service.errors import InvalidError
from bifurk_service.importing.points import WHOLE_MODEL
from bifurk_service.importing.tensorboard import read_event_files

Values = dict[tuple[int, str, str], float]


def _read(folder: Path) -> Values:
    return {(p.step, p.tensor, p.statistic): p.value for p in read_event_files(folder)}


def test_scalars_are_statistics_of_the_model(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "run")) as writer:
        for step in range(3):
            writer.add_scalar("loss/train", 2.0 - step, step)
    expected = {(s, WHOLE_MODEL, "loss/train"): 2.0 - s for s in range(3)}
    assert _read(tmp_path) == expected


def test_a_histograms_sums_give_what_its_buckets_cannot(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0.3, 0.02, 5_000)
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_histogram("blocks.0.mlp.up.weight", values, 7)
    found = {name: value for (_, _, name), value in _read(tmp_path).items()}
    assert {(step, tensor) for step, tensor, _ in _read(tmp_path)} == {
        (7, "blocks.0.mlp.up.weight")
    }
    assert found == pytest.approx(
        {
            "count": 5_000,
            "min": values.min(),
            "max": values.max(),
            "mean": values.mean(),
            "rms": np.sqrt((values**2).mean()),
            "l2_norm": np.linalg.norm(values),
            "std": values.std(),
        },
        rel=1e-9,
    )


def test_a_standard_deviation_that_is_all_rounding_is_none(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_histogram("gain", np.full(100, 1.0), 1)
    assert math.isnan(_read(tmp_path)[1, "gain", "std"])


def test_of_buckets_alone_only_what_they_know_is_taken(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=1_000)
    writer = EventFileWriter(str(tmp_path))
    summary = histogram_pb("weights", values)
    writer.add_event(Event(step=3, summary=Summary.FromString(summary.SerializeToString())))
    writer.close()
    found = _read(tmp_path)
    assert {name for _, _, name in found} == {"count", "min", "max"}
    assert found[3, "weights", "count"] == 1_000


def test_a_folder_without_event_files_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="no event file"):
        _read(tmp_path)


def test_a_file_that_ends_in_the_middle_is_read_up_to_there(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(100):
            writer.add_scalar("loss", 1.0, step)
    [path] = tmp_path.glob("*tfevents*")
    path.write_bytes(path.read_bytes()[:-9])
    assert len(_read(tmp_path)) == 99
