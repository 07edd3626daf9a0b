"""Which checkpoints a folder holds, as trainers leave them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bifurk_service.checkpoints.finding import find_checkpoints
from bifurk_service.errors import InvalidError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _found(folder: Path) -> dict[int, list[str]]:
    return {
        one.step: [str(path.relative_to(folder)) for path in one.files]
        for one in find_checkpoints(folder)
    }


def test_files_are_ordered_by_the_last_number_of_their_names(tmp_path: Path) -> None:
    _touch(tmp_path, "v2-step-100.safetensors", "v2-step-20.safetensors", "notes-7.txt")
    assert _found(tmp_path) == {20: ["v2-step-20.safetensors"], 100: ["v2-step-100.safetensors"]}
    assert [*_found(tmp_path)] == [20, 100]


def test_folders_of_a_trainer_are_read_by_their_own_word(tmp_path: Path) -> None:
    for step in (500, 1_000):
        _touch(
            tmp_path / f"checkpoint-{step}",
            "model.safetensors",
            "optimizer.pt",
            "scheduler.pt",
            "rng_state.pth",
            "training_args.bin",
        )
    history = [
        {"step": 400, "learning_rate": 1e-3, "loss": 3.0},
        {"step": 500, "learning_rate": 9e-4, "loss": 2.5},
        {"step": 500, "eval_loss": 2.7},
        {"step": 900, "learning_rate": 1e-4, "loss": 1.0},
    ]
    state = {"global_step": 500, "log_history": history}
    (tmp_path / "checkpoint-500" / "trainer_state.json").write_text(json.dumps(state))
    _touch(tmp_path, "model.safetensors", "config.json")
    first, second = find_checkpoints(tmp_path)
    assert (first.step, first.learning_rate, first.loss) == (500, 9e-4, 2.5)
    assert (second.step, second.learning_rate, second.loss) == (1_000, None, None)
    assert [path.name for path in first.files] == ["model.safetensors"]


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_shards_are_those_that_the_index_lists(tmp_path: Path, kind: str) -> None:
    stem, suffix = kind.rsplit(".", 1)
    shards = [f"{stem}-0000{n}-of-00002.{suffix}" for n in (1, 2)]
    _touch(tmp_path / "step_3", *shards, f"other.{suffix}")
    index = {"weight_map": {"a": shards[1], "b": shards[0], "c": shards[0]}}
    (tmp_path / "step_3" / f"{kind}.index.json").write_text(json.dumps(index))
    assert _found(tmp_path) == {3: [f"step_3/{name}" for name in shards]}


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ({"weight_map": {"a": "../../secret.safetensors"}}, "no file beside it"),
        ({"weight_map": {"a": "gone.safetensors"}}, "no file beside it"),
        ({"weight_map": 7}, "no weight_map"),
        ({}, "no weight_map"),
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(
    tmp_path: Path, index: dict[str, object], problem: str
) -> None:
    _touch(tmp_path / "step_3", "model.safetensors")
    _touch(tmp_path.parent, "secret.safetensors")
    (tmp_path / "step_3" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidError, match=problem):
        find_checkpoints(tmp_path)


def test_a_folder_without_checkpoints_says_what_was_expected(tmp_path: Path) -> None:
    _touch(tmp_path, "model.safetensors", "readme.md")
    with pytest.raises(InvalidError, match=r"no checkpoint with a step .* expected files like"):
        find_checkpoints(tmp_path)


def test_two_checkpoints_of_one_step_are_told_apart_by_nobody(tmp_path: Path) -> None:
    _touch(tmp_path, "a-7.pt", "b-7.pt")
    with pytest.raises(InvalidError, match=r"a-7.pt and b-7.pt are both of step 7"):
        find_checkpoints(tmp_path)


def test_a_step_beyond_what_can_be_stored_is_named(tmp_path: Path) -> None:
    _touch(tmp_path / "checkpoint-10", "model.safetensors")
    (tmp_path / "checkpoint-10" / "trainer_state.json").write_text('{"global_step": -5}')
    with pytest.raises(InvalidError, match="that of checkpoint-10 is -5"):
        find_checkpoints(tmp_path)
    (tmp_path / "checkpoint-10" / "trainer_state.json").write_text('{"global_step": "x"}')
    assert [*_found(tmp_path)] == [10]
