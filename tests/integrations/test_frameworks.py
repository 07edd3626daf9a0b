"""A framework that is missing or old is told at import; what checkpoints say is not trusted."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bifurk.integrations import companion as companions
from bifurk.integrations.companion import Companion, Title
from bifurk.integrations.frameworks import framework
from bifurk.integrations.memory import Memory, remembered
from bifurk.monitor import FLUSH_SECONDS
from bifurk.testing import InMemoryTransport
from tests.client.training import new_training, steps_of, train


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a package of one's choice importable."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(source: str) -> str:
        name = f"made_{tmp_path.name}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(source)
        (tmp_path / name / "inside.py").write_text("value = 3")
        return name

    return install


def test_a_framework_that_is_new_enough_is_given(installed: Any) -> None:
    name = installed("__version__ = '5.10.0rc1'")
    assert framework(f"{name}.inside", at_least=(5, 9)).value == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("__version__ = '5.8.2'", "5.9 or later, got 5.8.2: pip install --upgrade"),
        ("", "got no version"),
        ("import a_package_that_is_missing", "cannot be imported .No module named 'a_package"),
    ],
)
def test_one_that_is_not_is_told(installed: Any, source: str, message: str) -> None:
    name = installed(source)
    with pytest.raises(ImportError, match=message):
        framework(f"{name}.inside", at_least=(5, 9))


TRAINERS = ("transformers", "lightning", "accelerate")
WITHOUT_ANY = f"""
import sys
sys.modules.update(dict.fromkeys({TRAINERS}))
import bifurk.integrations
for trainer in {TRAINERS}:
    try:
        __import__("bifurk.integrations." + trainer)
    except ImportError as error:
        print(error)
"""


def test_a_missing_framework_is_told_when_its_integration_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ANY], capture_output=True, text=True, check=True, timeout=120
    )
    told = done.stdout.splitlines()
    assert len(told) == len(TRAINERS)
    for trainer, line in zip(TRAINERS, told, strict=True):
        assert line.startswith(f"this integration needs {trainer} ")
        assert f"pip install '{trainer}>=" in line


WHOLE = {"project": "p", "run": "r", "step": 3, "tokens": 7}
REMEMBERED = Memory(project="p", run="r", step=3, tokens=7)


@pytest.mark.parametrize(
    ("document", "memory"),
    [
        (WHOLE, REMEMBERED),
        ({**WHOLE, "later": [1]}, REMEMBERED),
        ({**WHOLE, "trainer_step": 4}, replace(REMEMBERED, trainer_step=4)),
        ({**WHOLE, "trainer_step": "4"}, None),
        (None, None),
        ([], None),
        ({**WHOLE, "run": "../../etc"}, None),
        ({**WHOLE, "step": -1}, None),
        ({**WHOLE, "step": True}, None),
        ({**WHOLE, "step": 1e9}, None),
        ({**WHOLE, "tokens": 2**70}, None),
    ],
)
def test_a_memory_is_read_or_it_is_none(document: Any, memory: Memory | None) -> None:
    assert remembered(document) == memory


def test_a_memory_goes_with_the_trainers_counter_or_is_another_trainings() -> None:
    memory = replace(REMEMBERED, trainer_step=5)  # two steps were skipped
    assert memory.at(5) == memory
    assert memory.at(9) == replace(memory, step=7, trainer_step=9)
    assert memory.at(4) is None
    assert REMEMBERED.at(4) == REMEMBERED
    assert remembered(memory.as_json()) == memory


def test_trials_of_a_search_are_runs_of_their_own() -> None:
    transport = InMemoryTransport()
    companion = Companion({"every": 1}, transport=transport)
    for own in (True, True, False, False):
        model, optimizer = new_training()
        companion.begin(model, optimizer, title=Title(stem="s", own=own))
        train(model, optimizer, steps=1)
        companion.end()
    runs = [part.manifest.run for part in transport.parts() if part.manifest.step == 0]
    assert len(set(runs)) == 2
    assert runs[1] == runs[2] == runs[3]


@pytest.fixture
def companion() -> tuple[Companion, InMemoryTransport]:
    transport = InMemoryTransport()
    return Companion({"every": 1}, transport=transport), transport


def test_settings_and_environment_win_over_what_the_trainer_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BIFURK_PROJECT", "mine")
    monkeypatch.setenv("BIFURK_START_STEP", "40")
    transport = InMemoryTransport()
    companion = Companion({"run": "named", "every": 1}, transport=transport)
    model, optimizer = new_training()
    memory = Memory(project="theirs", run="theirs", step=7)
    companion.begin(model, optimizer, title=Title(run="t", project="t"), memory=memory)
    train(model, optimizer, steps=1)
    companion.end()
    manifest = transport.parts()[0].manifest
    assert (manifest.project, manifest.run, manifest.step) == ("mine", "named", 40)


def test_a_training_that_begins_anew_ends_the_one_before(
    companion: tuple[Companion, InMemoryTransport],
) -> None:
    watching, transport = companion
    # Both are kept: a watch whose optimizer is gone ends by itself, and as finished.
    trainings = [new_training(), new_training()]
    for model, optimizer in trainings:
        watching.begin(model, optimizer, title=Title(stem="s"))
        train(model, optimizer, steps=1)
    watching.end()
    assert [state["state"] for state in transport.states()] == [
        "running",
        "failed",
        "running",
        "finished",
    ]
    assert len({part.manifest.run for part in transport.parts()}) == 1
    assert steps_of(transport.parts()) == [0, 1, 0, 1]


def test_a_copy_watches_nothing_until_it_begins(
    companion: tuple[Companion, InMemoryTransport],
) -> None:
    watching, transport = companion
    model, optimizer = new_training()
    watching.begin(model, optimizer, title=Title())
    copied = pickle.loads(pickle.dumps(watching))
    assert not copied.under_way
    copied.log({"loss": 1.0})
    copied.end()
    assert watching.under_way
    watching.end()
    assert len(transport.states()) == 2


def test_what_is_no_number_is_left_out(
    companion: tuple[Companion, InMemoryTransport],
) -> None:
    watching, transport = companion
    model, optimizer = new_training()
    watching.begin(model, optimizer, title=Title())
    told = {"loss": 1.5, "reaction_time": 2.0, "text": "a", "list": [1]}
    watching.log(told)
    watching.evaluated(told)
    watching.end()
    end = transport.states()[-1]
    assert sorted(end["scalars"]) == ["loss", "reaction_time"]
    assert [mark["details"] for mark in end["marks"]] == [{"loss": 1.5, "reaction_time": 2.0}]


@pytest.mark.parametrize("error", [None, RuntimeError("diverged")])
def test_an_end_waits_little_for_a_server_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException | None
) -> None:
    assert companions.CLOSE_SECONDS == 5.0
    monkeypatch.setattr(companions, "CLOSE_SECONDS", 0.2)
    watching = Companion({"url": "http://127.0.0.1:9", "spool_dir": tmp_path, "every": 1})
    model, optimizer = new_training()
    watching.begin(model, optimizer, title=Title())
    train(model, optimizer, steps=1)
    began = time.monotonic()
    watching.end(error)
    assert time.monotonic() - began < FLUSH_SECONDS - 5
    assert list(tmp_path.rglob("*.request"))


def test_a_scalar_may_be_called_self(companion: tuple[Companion, InMemoryTransport]) -> None:
    watching, transport = companion
    watching.log({"self": 1.0})
    model, optimizer = new_training()
    watching.begin(model, optimizer, title=Title())
    watching.log({"self": 2.0})
    watching.end()
    assert transport.states()[-1]["scalars"]["self"]["last"] == 2.0


def test_runs_of_different_names_are_different_runs() -> None:
    transport = InMemoryTransport()
    names = ("実験一", "実験二", "lr=1e-3", "lr/1e-3", "lr-1e-3", "x" * 200, "x" * 201)
    for name in (*names, *names):
        companion = Companion({"every": 1}, transport=transport)
        model, optimizer = new_training()
        companion.begin(model, optimizer, title=Title(run=name))
        train(model, optimizer, steps=1)
        companion.end()
    runs = [part.manifest.run for part in transport.parts() if part.manifest.step == 0]
    assert len(set(runs)) == len(names)
    assert runs[: len(names)] == runs[len(names) :]
    assert runs[4] == "lr-1e-3"


def test_what_a_callback_watches_next_has_a_name_of_its_own() -> None:
    transport = InMemoryTransport()
    companion = Companion({"every": 1}, transport=transport)
    for stem in ("fold-a", "fold-b", "fold-a"):
        model, optimizer = new_training()
        companion.begin(model, optimizer, title=Title(stem=stem))
        train(model, optimizer, steps=1)
        companion.end()
    runs = [part.manifest.run for part in transport.parts() if part.manifest.step == 0]
    assert [run[:7] for run in runs] == ["fold-a-", "fold-b-", "fold-a-"]
    assert runs[0] == runs[2]


def test_an_evaluation_after_the_end_is_told_once(
    companion: tuple[Companion, InMemoryTransport], caplog: pytest.LogCaptureFixture
) -> None:
    logging.disable(logging.NOTSET)  # the fixture ``quiet`` sets it back
    watching, transport = companion
    watching.evaluated({"eval_loss": 1.0})  # of what nobody trained
    model, optimizer = new_training()
    watching.begin(model, optimizer, title=Title(run="r"))
    watching.evaluated({"eval_loss": 2.0})
    watching.end()
    assert caplog.messages == []
    for _ in range(2):
        watching.evaluated({"eval_loss": 3.0})
    [line] = caplog.messages
    assert line == "an evaluation after the training's end is not sent: run r has ended"
    assert [mark["details"]["eval_loss"] for mark in transport.states()[-1]["marks"]] == [2.0]
