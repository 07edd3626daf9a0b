"""No method leads past the table of who may do what: neither HEAD nor one that no route knows."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3
from fastapi.routing import iter_route_contexts

from bifurk_service.app import create_app
from bifurk_service.settings import Settings
from tests.api.conftest import Guarded
from tests.api.test_authorisation import (
    ANYBODY,
    DESCRIPTIONS,
    NEEDS,
    UNKNOWN,
    concrete,
    routes,
    status_and_body,
)

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")
STREAM = "/api/v1/stream"


@pytest.fixture(scope="module")
def methods_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Path to the methods that lead anywhere."""
    found: dict[str, set[str]] = defaultdict(set)
    for method, path in routes(tmp_path_factory.mktemp("methods")).values():
        found[path].add(method)
    return found


def test_no_two_routes_share_a_name_and_none_has_two_methods(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path), make_executor=ThreadPoolExecutor)
    found = [one for one in iter_route_contexts(app.routes) if str(one.path) not in DESCRIPTIONS]
    names = [str(one.name) for one in found]
    assert len(names) == len(set(names)), "the table of who may do what goes by names"
    for one in found:
        assert len(set(one.methods or ()) - {"HEAD"}) == 1, one.name


def test_a_method_that_no_route_knows_is_refused_to_admins_too(
    guarded: Guarded, methods_of: dict[str, set[str]]
) -> None:
    admin, http = guarded.callers["admin"], urllib3.PoolManager(retries=False, timeout=30)
    for path, known in methods_of.items():
        for method in METHODS:
            if method in known or (method == "HEAD" and "GET" in known):
                continue
            url = guarded.server.url + concrete(path, guarded.filled)
            assert http.request(method, url, headers=admin.headers).status == 405, (method, path)
    http.clear()


def test_head_asks_for_the_same_token_as_get(
    guarded: Guarded, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name, (method, path) in routes(tmp_path_factory.mktemp("head")).items():
        if method != "GET" or NEEDS[name] in (ANYBODY, UNKNOWN) or path == STREAM:
            continue
        target = concrete(path, guarded.filled)
        status, body = status_and_body(guarded.callers["none"], "HEAD", target)
        assert (status, body) == (401, ""), path
        status, body = status_and_body(guarded.callers["write"], "HEAD", target)
        assert (status, body) == (403, ""), path
