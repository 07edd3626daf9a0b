"""Chores know nothing of each other: one that fails keeps none of the others from being done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bifurk_service.app import create_app
from bifurk_service.errors import StorageError
from bifurk_service.pipeline.duties import do_each, unless_it_fails
from bifurk_service.pipeline.sweeping import Sweeper
from bifurk_service.pipeline.thinning import Thinner
from bifurk_service.settings import Settings
from tests.database import migrated


def test_a_server_thins_and_sweeps_although_condensing_and_the_house_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def fails(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("bifurk_service.wiring.Housekeeper.run", fails)
    monkeypatch.setattr("bifurk_service.wiring.condense_due", fails)
    monkeypatch.setattr(Thinner, "run", lambda _: done.append("thinned"))
    monkeypatch.setattr(Sweeper, "begin_if_due", lambda _: done.append("swept"))
    migrated(tmp_path)
    app = create_app(Settings(data_dir=tmp_path), make_executor=ThreadPoolExecutor)
    house = app.state.services
    house.presence.start()
    with pytest.raises(ExceptionGroup):
        house.pipeline._do_chores()
    assert sorted(done) == ["swept", "thinned"]
    house.pipeline.stop()
    house.presence.stop()
    house.database.close()


def test_what_fails_is_told_a_line_a_trouble_and_what_is_away_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away() -> None:
        raise StorageError("the database is away")

    def faulty() -> None:
        raise ValueError("a fault of ours")

    def nested() -> None:
        do_each(away, faulty)

    assert not unless_it_fails(lambda: do_each(away, nested, away))
    told = [(one.levelname, one.message, one.exc_info is not None) for one in caplog.records]
    assert told == [
        ("WARNING", "the pipeline waits for storage: the database is away", False),
        ("ERROR", "the pipeline met an error and goes on", True),
    ]
