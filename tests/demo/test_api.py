"""The demo's REST reader against a real HTTP server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from bifurk_service.demo.api import Api, ApiError

PAGES: dict[str, Any] = {
    "/readyz": {"ready": True},
    "/api/v1/runs?project=demo": {"items": [{"id": 1, "run": "a"}], "next_cursor": "next page"},
    "/api/v1/runs?project=demo&cursor=next+page": {
        "items": [{"id": 2, "run": "b"}],
        "next_cursor": None,
    },
    "/api/v1/runs/2": {"snapshots": {"received": 3}},
    "/api/v1/alerts?run=2": {"items": [{"id": 9}], "next_cursor": None},
    "/api/v1/runs/2/tensors": {"items": [{"id": 5, "name": "w"}], "next_cursor": None},
    "/api/v1/runs/2/series?stat=std&tensor=blocks.%2A": {
        "items": [
            {
                "tensor": {"id": 5, "name": "w", "layer": 0, "role": "other"},
                "stat": "std",
                "steps": [0, 2],
                "values": [1.5, None],
            }
        ]
    },
    "/api/v1/runs/2/tensors/5/distribution?step=2&unit=sigma&low=-3.0&high=3.0&bins=120": {
        "step": 2,
        "edges": [-3.0, 0.0, 3.0],
        "density": [0.1, 0.2],
    },
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path in PAGES
        body = json.dumps(PAGES.get(self.path, {"title": "Not found"})).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, name="demo-test-server")
    thread.start()
    reader = Api(f"http://127.0.0.1:{server.server_port}")
    yield reader
    reader.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_run_is_found_on_a_later_page(api: Api) -> None:
    assert api.run_id("demo", "b") == 2


def test_a_run_that_is_not_there_is_an_error_that_names_it(api: Api) -> None:
    with pytest.raises(ApiError, match="no run 'c' in project 'demo'"):
        api.run_id("demo", "c")


def test_answers_become_values(api: Api) -> None:
    api.check_ready()
    assert api.run(2)["snapshots"] == {"received": 3}
    assert api.alerts(2) == ({"id": 9},)
    assert api.tensor_ids(2) == {"w": 5}


def test_a_missing_value_of_a_series_is_nan(api: Api) -> None:
    (series,) = api.series(2, stat="std", tensor="blocks.*")
    assert (series.tensor, series.layer) == ("w", 0)
    assert series.steps.tolist() == [0, 2]
    assert series.values[0] == 1.5
    assert np.isnan(series.values[1])


def test_a_distribution_is_asked_for_in_standard_deviations(api: Api) -> None:
    distribution = api.distribution(2, 5, step=2)
    assert distribution.step == 2
    assert distribution.edges.tolist() == [-3.0, 0.0, 3.0]
    assert distribution.density.tolist() == [0.1, 0.2]


def test_a_refusal_is_an_error_with_the_status(api: Api) -> None:
    with pytest.raises(ApiError, match=r"/api/v1/runs/3: 404"):
        api.run(3)


def test_a_server_that_is_not_there_is_an_error() -> None:
    reader = Api("http://127.0.0.1:9")
    with pytest.raises(ApiError, match=r"http://127\.0\.0\.1:9/readyz"):
        reader.check_ready()
    reader.close()
