"""One long past, written once and copied for whoever wants it."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bifurk_service.store.blobs import BlobStore, open_blobs
from bifurk_service.store.engine import Database
from tests.database import fresh_database
from tests.retention.long_past import LongPast


class Past(NamedTuple):
    """A long run, and where it lies."""

    run: LongPast
    database: Database
    blobs: BlobStore


@pytest.fixture(scope="package")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LongPast]:
    """The folder and the run, to be copied."""
    folder = tmp_path_factory.mktemp("written")
    database = fresh_database(folder)
    run = LongPast(database, folder / "blobs")
    database.close()
    return folder, run


@pytest.fixture
def past(written: tuple[Path, LongPast], tmp_path: Path) -> Iterator[Past]:
    """A copy of its own."""
    folder, run = written
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    own = copy.copy(run)
    own.database = database
    yield Past(own, database, open_blobs(str(tmp_path / "blobs")))
    database.close()
