"""A long run's first figure is drawn from what is condensed, and shows what a short one's would."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from bifurk_service.app import create_app
from bifurk_service.pages import overview
from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.settings import Settings
from tests.database import migrated
from tests.written_run import WrittenRun


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path, pipeline=False)
    migrated(settings.data_dir)
    app = create_app(settings)
    run = WrittenRun(app.state.services.database)
    run.judge(range(700))
    condense_due(app.state.services.database, most_seconds=60)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def cells(client: TestClient, query: str) -> NDArray[np.float32]:
    """What the heatmap colours, float32 [T, C]."""
    answer = client.get(f"/runs/1/figures/overview?{query}")
    assert answer.status_code == 200
    [rows] = found(answer.json(), "image")
    packed = [gzip.decompress(base64.b64decode(row["array"]["data"])) for row in rows]
    return np.array([np.frombuffer(row, "<f4") for row in packed])


def found(document: Any, name: str) -> list[list[dict[str, Any]]]:
    """Every list of arrays of this name in a document's data."""
    if isinstance(document, dict):
        entries = document.get("entries", [])
        here = [value for key, value in entries if key == name]
        return here + [one for value in document.values() for one in found(value, name)]
    if isinstance(document, list):
        return [one for value in document for one in found(value, name)]
    return []


@pytest.mark.parametrize("query", ["stat=std&color=linear", "stat=std&axis=log&color=linear"])
def test_a_long_run_shows_the_same_extremes(
    client: TestClient, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_COLUMNS", 100)
    single = cells(client, query)
    monkeypatch.setattr(overview, "MOST_SINGLE", 0)
    condensed = cells(client, query)
    assert single.shape == condensed.shape
    assert not np.array_equal(single, condensed, equal_nan=True)  # it is read in another way
    for extreme in (np.nanmin, np.nanmax):
        np.testing.assert_array_equal(extreme(single, axis=1), extreme(condensed, axis=1))


def test_a_statistic_that_is_not_there_is_refused_in_words(client: TestClient) -> None:
    answer = client.get("/runs/1/figures/overview?stat=nonsense")
    assert answer.status_code == 422
    assert "nonsense" in answer.text
