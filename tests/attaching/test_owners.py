"""An optimizer's modules are found by its parameters, whatever else there is in the process."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import bifurk
from bifurk import watching
from bifurk.attaching.hook import MOST_TRAININGS, OF_BIFURK, Attachment
from bifurk.attaching.owners import optimizers_within, owners_of
from bifurk.monitor import Monitor
from bifurk.testing import InMemoryTransport


def adam(*parameters: nn.Parameter) -> torch.optim.Adam:
    return torch.optim.Adam(parameters)


def test_the_outermost_module_owns_and_its_parts_and_copies_do_not() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    average = copy.deepcopy(model)
    owners = owners_of(adam(*model[1].parameters()))
    assert owners.modules == (model,)
    assert (owners.rivals, owners.orphans) == ((), 0)
    assert owners_of(adam(*average.parameters())).modules == (average,)


def test_wrappers_are_taken_off() -> None:
    model = nn.Linear(2, 2)
    wrapped = torch.compile(nn.DataParallel(model), backend="eager")
    assert owners_of(adam(*wrapped.parameters())).modules == (model,)


def test_modules_that_only_together_hold_all_are_all_owners() -> None:
    encoder, decoder, other = nn.Linear(3, 2), nn.Linear(2, 4), nn.Linear(5, 5)
    owners = owners_of(adam(*encoder.parameters(), *decoder.parameters()))
    assert owners.modules == (decoder, encoder) or owners.modules == (encoder, decoder)
    assert other.bias is not None


def test_tensors_of_no_module_are_counted() -> None:
    model, temperature = nn.Linear(2, 2), nn.Parameter(torch.ones(1))
    owners = owners_of(adam(*model.parameters(), temperature))
    assert (owners.modules, owners.orphans) == ((model,), 1)
    alone = owners_of(adam(temperature))
    assert (alone.modules, alone.orphans) == ((), 1)


def test_two_modules_that_hold_the_same_are_rivals() -> None:
    inner = nn.Linear(2, 2)
    left, right = nn.Sequential(inner), nn.Sequential(inner)
    owners = owners_of(adam(*inner.parameters()))
    assert {owners.modules, owners.rivals} == {(left,), (right,)}


def test_a_smaller_module_that_holds_all_is_meant_rather_than_a_larger_one() -> None:
    inner = nn.Linear(2, 2)
    model, larger = nn.Sequential(inner), nn.Sequential(inner, nn.Linear(9, 9))
    owners = owners_of(adam(*inner.parameters()))
    assert (owners.modules, owners.rivals) == ((model,), ())
    assert len(larger) == 2


def test_optimizers_of_the_same_module_are_found() -> None:
    model, other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2)
    first, second = adam(*model[0].parameters()), adam(*model[1].parameters())
    foreign = adam(*other.parameters())
    assert set(optimizers_within([model])) == {first, second}
    assert optimizers_within([other]) == [foreign]


class TestAttachment:
    @pytest.fixture
    def attachment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Attachment:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("BIFURK_RUN", "r" * 128)
        # Other tests of this process have imported them; of a script that would say something.
        for name in OF_BIFURK:
            monkeypatch.delitem(sys.modules, name, raising=False)
        return Attachment()

    @pytest.fixture
    def watched(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[nn.Module, int, str]]:
        """What is watched unasked: the module, the number of optimizers and the run."""
        calls: list[tuple[nn.Module, int, str]] = []
        real = watching.watch_unasked

        def recorded(
            model: nn.Module, optimizers: list[torch.optim.Adam], *, run: str
        ) -> Monitor | None:
            monitor = real(model, optimizers, run=run)
            if monitor is not None:
                calls.append((model, len(optimizers), run))
            return monitor

        monkeypatch.setattr("bifurk.watching.watch_unasked", recorded)
        return calls

    def test_a_second_optimizer_of_the_same_module_begins_nothing(
        self, attachment: Attachment, watched: list[tuple[nn.Module, int, str]]
    ) -> None:
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        first, second = adam(*model[0].parameters()), adam(*model[1].parameters())
        for optimizer in (first, second, first):
            attachment.before_step(optimizer)
        assert watched == [(model, 2, "r" * 128)]

    def test_a_further_training_has_a_name_of_its_own_however_long(
        self, attachment: Attachment, watched: list[tuple[nn.Module, int, str]]
    ) -> None:
        models = (nn.Linear(2, 2), nn.Sequential(nn.Linear(3, 3)), nn.Sequential(nn.Linear(4, 4)))
        for model in models:
            attachment.before_step(adam(*model.parameters()))
        runs = [run for _, _, run in watched]
        assert runs == ["r" * 128, f"{'r' * 117}-Sequential", f"{'r' * 115}-Sequential-2"]

    def test_a_script_that_watches_by_itself_is_left_alone(
        self, attachment: Attachment, watched: list[tuple[nn.Module, int, str]]
    ) -> None:
        model, another = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(3, 3)
        clock, other = adam(*model[0].parameters()), adam(*model[1].parameters())
        with bifurk.watch(model, [clock, other], transport=InMemoryTransport()):
            for optimizer in (other, clock, adam(*another.parameters())):
                attachment.before_step(optimizer)
        assert watched == []

    def test_a_script_that_uses_a_callback_of_bifurk_s_is_left_alone(
        self,
        attachment: Attachment,
        watched: list[tuple[nn.Module, int, str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setitem(sys.modules, OF_BIFURK[0], sys)
        attachment.before_step(adam(*nn.Linear(2, 2).parameters()))
        assert watched == []

    def test_a_watch_by_hand_takes_over(
        self, attachment: Attachment, watched: list[tuple[nn.Module, int, str]]
    ) -> None:
        model = nn.Linear(2, 2)
        optimizer = adam(*model.parameters())
        attachment.before_step(optimizer)
        transport = InMemoryTransport()
        with bifurk.watch(model, optimizer, run="mine", transport=transport):
            optimizer.step()
        assert len(watched) == 1
        assert {part.manifest.run for part in transport.parts()} == {"mine"}

    def test_an_optimizer_for_each_parameter_looks_around_once(
        self,
        attachment: Attachment,
        watched: list[tuple[nn.Module, int, str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(50)))
        optimizers = [adam(parameter) for parameter in model.parameters()]
        looked: list[object] = []
        real = owners_of
        monkeypatch.setattr(
            "bifurk.attaching.owners.owners_of", lambda one: looked.append(one) or real(one)
        )
        for optimizer in optimizers:
            attachment.before_step(optimizer)
        assert (len(looked), len(watched), watched[0][1]) == (1, 1, 100)

    def test_ever_new_trainings_are_not_watched_for_ever(
        self,
        attachment: Attachment,
        watched: list[tuple[nn.Module, int, str]],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        kept = [nn.Linear(2, 2) for _ in range(MOST_TRAININGS + 5)]
        for model in kept:
            attachment.before_step(adam(*model.parameters()))
        assert len(watched) == MOST_TRAININGS
        said = capsys.readouterr().err.splitlines()
        assert len(said) == MOST_TRAININGS + 1
        assert said[-1] == "bifurk: 8 trainings are watched in this process; further ones are not"

    def test_equality_and_traps_of_the_user_s_do_not_matter(
        self, attachment: Attachment, watched: list[tuple[nn.Module, int, str]]
    ) -> None:
        class Unhashable(torch.optim.Adam):  # noqa: PLW1641 - the point of it
            def __eq__(self, other: object) -> bool:
                raise RuntimeError("compared")

        class Trap(nn.Module):
            @property
            def __dict__(self) -> dict[str, object]:  # type: ignore[override]
                raise RuntimeError("looked into")

        trap = Trap.__new__(Trap)
        model = nn.Linear(2, 2)
        attachment.before_step(Unhashable(model.parameters()))
        assert [one for one, _, _ in watched] == [model]
        assert isinstance(trap, Trap)

    def test_a_failure_is_one_line(
        self, attachment: Attachment, capsys: pytest.CaptureFixture[str]
    ) -> None:
        optimizer = adam(nn.Parameter(torch.ones(2)))
        attachment.before_step(optimizer)
        attachment.before_step(optimizer)
        frozen = nn.Linear(2, 2).requires_grad_(False)
        attachment.before_step(adam(*frozen.parameters()))
        out, err = capsys.readouterr()
        assert out == ""
        first, second = err.splitlines()
        assert first == "bifurk: no module holds what Adam trains: not watched"
        assert second.startswith("bifurk: this training runs unwatched: ValueError: the model has")
