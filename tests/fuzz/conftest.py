"""A server with a token of each scope and a run to ask about, which these tests may break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import pytest

from tests.api.conftest import make_tokens
from tests.api.filling import Caller, Filled, fill
from tests.server import Server

Besieged: TypeAlias = tuple[dict[str, Caller], Filled]


@pytest.fixture(scope="package")
def besieged(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[dict[str, Caller], Filled]]:
    """Callers by the token they have, and what there is."""
    data_dir = tmp_path_factory.mktemp("besieged") / "data"
    tokens = make_tokens(data_dir)
    server = Server(data_dir)
    callers = {name: Caller(server, token) for name, token in tokens.items()}
    callers["none"] = Caller(server)
    yield callers, fill(callers["admin"])
    server.stop()
