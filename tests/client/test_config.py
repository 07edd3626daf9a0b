"""Settings: an argument wins over the environment, that over the default; nonsense is refused."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import bifurk
from bifurk.config import WatchConfig, WatchSettings, documentation
from bifurk.configure import resolve
from bifurk.testing import InMemoryTransport
from tests.client.training import new_training, train


def test_without_anything_the_defaults_hold_and_nothing_leaves_the_machine() -> None:
    config = resolve({}, environ={})
    assert (config.every, config.payload, config.mode) == (100, "auto", "offline")
    assert config.overhead_budget == 0.01
    assert config.full_bytes == 16 * 1024 * 1024


def test_runs_and_attempts_without_a_name_get_fresh_ones() -> None:
    first, second = resolve({}, environ={}), resolve({}, environ={})
    assert first.run != second.run
    assert first.attempt != second.attempt


def test_an_argument_wins_over_the_environment_and_that_over_the_default() -> None:
    environ = {"BIFURK_EVERY": "7", "BIFURK_PROJECT": "env", "BIFURK_RUN": ""}
    config = resolve({"every": 9, "project": None}, environ=environ)
    assert (config.every, config.project) == (9, "env")
    assert config.run.startswith("run-")


def test_every_field_can_come_from_the_environment() -> None:
    raw: dict[str, tuple[str, Any]] = {
        "project": ("p", "p"),
        "run": ("r", "r"),
        "display_name": ("A run", "A run"),
        "tags": ("lr=3e-4, größe", ("lr=3e-4", "größe")),
        "every": ("3", 3),
        "log_start": ("false", False),
        "url": ("http://h:1/x", "http://h:1/x"),
        "token": ("secret", "secret"),
        "mode": ("disabled", "disabled"),
        "include": ("a.*, b.*", ("a.*", "b.*")),
        "exclude": ("*.bias", ("*.bias",)),
        "roles": ("a.*=mlp.up,b=norm", {"a.*": "mlp.up", "b": "norm"}),
        "packing": ("*.w:query,key", {"*.w": "query,key"}),
        "payload": ("sketch", "sketch"),
        "full_bytes": ("5", 5),
        "full_every": ("2", 2),
        "split": ("true", True),
        "overhead_budget": ("none", None),
        "directives": ("false", False),
        "forward": ("wandb, mlflow", ("wandb", "mlflow")),
        "start_step": ("11", 11),
        "attempt": ("a1", "a1"),
        "spool_dir": ("/s", Path("/s")),
        "spool_bytes": ("6", 6),
        "offline_dir": ("/o", Path("/o")),
        "heartbeat_seconds": ("1.5", 1.5),
    }
    config = resolve(
        {}, environ={f"BIFURK_{name.upper()}": text for name, (text, _) in raw.items()}
    )
    assert dataclasses.asdict(config) == {name: value for name, (_, value) in raw.items()}


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        ({"spool_dir": "spool", "offline_dir": "record"}, {}),
        ({}, {"BIFURK_SPOOL_DIR": "spool", "BIFURK_OFFLINE_DIR": "record"}),
    ],
)
def test_a_training_that_changes_its_folder_takes_nothing_along(
    arguments: WatchSettings,
    environ: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    config = resolve(arguments, environ=environ)
    assert (config.spool_dir, config.offline_dir) == (tmp_path / "spool", tmp_path / "record")
    assert resolve({}, environ={}).offline_dir == tmp_path / "bifurk"


def test_an_offline_run_stays_where_it_began_when_the_training_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    model, optimizer = new_training()
    with bifurk.watch(model, optimizer, project="p", run="r", attempt="a1", every=1) as monitor:
        monkeypatch.chdir(tmp_path / "elsewhere")
        train(model, optimizer, steps=2, monitor=monitor)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert len(list((tmp_path / "bifurk" / "p" / "r" / "a1").glob("*.request"))) >= 5


def test_a_working_directory_that_is_gone_keeps_nobody_from_watching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert resolve({"mode": "disabled"}, environ={}).offline_dir == Path("bifurk")


def test_a_user_without_a_home_gets_a_spool_among_the_temporary_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    expected = Path(tempfile.gettempdir()) / f"bifurk-{os.geteuid()}" / "spool"
    assert WatchConfig(mode="disabled").spool_dir == expected
    with pytest.raises(ValueError, match="'~/spool' cannot be used"):
        resolve({"spool_dir": "~/spool"}, environ={})


def test_a_url_or_a_transport_means_online() -> None:
    assert resolve({}, environ={"BIFURK_URL": "https://host"}).mode == "online"
    assert resolve({}, environ={}, transport_given=True).mode == "online"
    assert resolve({"mode": "offline"}, environ={"BIFURK_URL": "https://host"}).mode == "offline"


def test_online_without_a_url_is_refused() -> None:
    with pytest.raises(ValueError, match="pass url= or set BIFURK_URL"):
        resolve({"mode": "online"}, environ={})


def test_no_budget_is_an_argument_of_its_own() -> None:
    environ = {"BIFURK_OVERHEAD_BUDGET": "0.5"}
    assert resolve({"overhead_budget": None}, environ=environ).overhead_budget is None
    assert resolve({}, environ=environ).overhead_budget == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"run": "my run!"}, "try 'my-run'"),
        ({"project": "a/b"}, "project 'a/b' is not a slug"),
        ({"attempt": ".."}, "attempt"),
        ({"display_name": "x" * 513}, "display_name must be text of at most 512 characters"),
        ({"display_name": 3}, "display_name must be text .*, got 3"),
        ({"tags": ("two words",)}, "tags: expected a tag of 1 to 64 letters.*'two words'"),
        ({"tags": (3,)}, "tags: expected a tag of .*got 3"),
        ({"tags": tuple(f"t{n}" for n in range(33))}, "tags: expected at most 32 tags, got 33"),
        ({"every": 0}, "every must be a whole number of at least 1, got 0"),
        ({"every": 2.5}, "every must be a whole number"),
        ({"every": True}, "every must be a whole number"),
        ({"full_every": 0}, "full_every"),
        ({"start_step": -1}, "start_step"),
        ({"payload": "all"}, "payload must be one of auto, sketch, full; got 'all'"),
        ({"mode": "on"}, "mode must be one of online, offline, disabled; got 'on'"),
        ({"url": "host:8080"}, "url must look like"),
        ({"url": "ftp://host"}, "url must look like"),
        ({"overhead_budget": 0.0}, "overhead_budget"),
        ({"overhead_budget": 1.5}, "overhead_budget"),
        ({"overhead_budget": float("nan")}, "overhead_budget"),
        ({"heartbeat_seconds": 0}, "heartbeat_seconds"),
        ({"include": ("",)}, "include must be globs"),
        ({"roles": {"a": "mlp"}}, "the role of 'a' must be one of attention.qkv"),
    ],
)
def test_nonsense_is_refused_with_what_was_received(settings: dict[str, Any], message: str) -> None:
    model, optimizer = new_training()
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        bifurk.watch(model, optimizer, transport=InMemoryTransport(), **settings)
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ({"BIFURK_EVERY": "often"}, "BIFURK_EVERY='often': invalid literal"),
        ({"BIFURK_LOG_START": "maybe"}, "BIFURK_LOG_START='maybe': expected true or false"),
        ({"BIFURK_ROLES": "a"}, "BIFURK_ROLES='a': expected glob=role"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(variable: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve({}, environ=variable)


def test_a_misspelt_setting_gets_a_hint() -> None:
    model, optimizer = new_training()
    with pytest.raises(TypeError, match="no setting 'evry'; did you mean 'every'"):
        bifurk.watch(model, optimizer, evry=3)  # type: ignore[call-arg]


def test_model_and_optimizer_are_checked() -> None:
    model, optimizer = new_training()
    with pytest.raises(TypeError, match=r"torch.nn.Module, got AdamW"):
        bifurk.watch(optimizer, optimizer)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"torch.optim.Optimizer .* got SmallNet"):
        bifurk.watch(model, model)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one optimizer"):
        bifurk.watch(model, [])


def test_the_token_is_never_shown() -> None:
    assert "secret" not in repr(WatchConfig(token="secret"))


def test_the_arguments_of_watch_are_the_fields_and_each_is_documented() -> None:
    fields = [field.name for field in dataclasses.fields(WatchConfig)]
    assert list(get_type_hints(WatchSettings)) == fields
    assert list(documentation()) == fields
    assert all(len(line) > 10 for line in documentation().values())
