"""An alerts file is taken up whatever happened at the moment at which it was read first."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bifurk_service.errors import SetupError
from bifurk_service.notify import alerts_file
from bifurk_service.notify.followed import FollowedPolicy


def test_a_file_that_could_not_be_read_when_it_changed_is_taken_up_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text("rules: []")
    followed = FollowedPolicy(file)
    file.write_text("rules: [{name: second, action: silence}]")
    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR, logger="bifurk.service"):
        broken.setattr(alerts_file, "_text", too_many_open_files)
        for _ in range(3):
            assert not followed.refresh()
    assert len(caplog.messages) == 1
    assert followed.refresh()
    assert [rule.name for rule in followed.current.rules] == ["second"]


def test_a_file_that_is_empty_while_it_is_written_is_not_taken_for_one_without_channels(
    tmp_path: Path,
) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text("rules: [{name: first, action: silence}]")
    followed = FollowedPolicy(file)
    with file.open("w") as writing:
        assert not followed.refresh()
        writing.write("rules: [{name: second, action: silence}]")
    assert not followed.refresh()
    assert [rule.name for rule in followed.current.rules] == ["first"]
    assert followed.refresh()
    assert [rule.name for rule in followed.current.rules] == ["second"]


def test_the_same_fault_is_said_again_when_it_was_mended_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, aside = tmp_path / "alerts.yaml", tmp_path / "aside.yaml"
    file.write_text("rules: []")
    followed = FollowedPolicy(file)
    with caplog.at_level(logging.ERROR, logger="bifurk.service"):
        for _ in range(2):
            file.rename(aside)
            assert not followed.refresh()
            assert not followed.refresh()
            aside.rename(file)
            assert not followed.refresh()
    assert len(caplog.messages) == 2


def too_many_open_files(path: Path) -> str:
    raise SetupError(f"{path} cannot be read: Too many open files")
