"""Tokens: what passes for one, when they end, and that a wrong one tells nothing."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bifurk_service.errors import ConflictError, InvalidError, NotFoundError
from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database
from bifurk_service.store.token_uses import APART_SECONDS, TokenUses
from bifurk_service.store.tokens import (
    create_token,
    find_grant,
    list_tokens,
    revoke_token,
    rotate_token,
)
from tests.api.conftest import Guarded, make_tokens
from tests.api.filling import Caller
from tests.database import fresh_database
from tests.server import Server, wait_for


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    yield database
    database.close()


def make(database: Database, **more: Any) -> str:
    settings = {"name": "t", "scope": "write", "project": None, "expires_at": None, "now": 100.0}
    with database.write() as session:
        return create_token(session, **{**settings, **more})


def grant(database: Database, token: str, *, now: float = 100.0) -> Any:
    with database.read() as session:
        return find_grant(session, token, now=now)


def test_a_token_ends_at_its_expiry(database: Database) -> None:
    token = make(database, expires_at=200.0)
    assert grant(database, token, now=199.9) is not None
    assert grant(database, token, now=200.0) is None


def test_a_revoked_token_is_worthless(database: Database) -> None:
    token = make(database)
    with database.write() as session:
        revoke_token(session, 1, now=100.0)
    assert grant(database, token) is None
    with database.write() as session, pytest.raises(NotFoundError):
        revoke_token(session, 1, now=100.0)


def test_the_secret_is_not_kept(database: Database, tmp_path: Path) -> None:
    secret = make(database).split("_", 2)[2]
    database.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in kept


def test_a_token_for_a_new_project_makes_it(database: Database) -> None:
    token = make(database, project="vision")
    assert grant(database, token).project == "vision"
    with database.read() as session:
        assert [summary.project for summary in list_tokens(session)] == ["vision"]


@pytest.mark.parametrize("wrong", [{"scope": "root"}, {"project": "../etc"}, {"project": ""}])
def test_a_token_that_cannot_be_is_refused(database: Database, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidError):
        make(database, **wrong)


def test_secrets_are_compared_in_constant_time_also_for_ids_that_are_not_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = make(database)
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def watched(left: str, right: str) -> bool:
        compared.append((len(left), len(right)))
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    assert grant(database, token) is not None
    assert grant(database, token.replace("bifurk_1_", "bifurk_7_")) is None
    assert compared == [(64, 64)] * 4


def rotate(database: Database, named: str = "t", **more: Any) -> str:
    with database.write() as session:
        return rotate_token(session, named, **{"grace_seconds": 60.0, "now": 100.0, **more})


def test_a_rotated_token_has_a_new_secret_and_the_old_one_for_the_grace(
    database: Database,
) -> None:
    old = make(database, scope="read", project="vision", expires_at=500.0)
    new = rotate(database)
    assert new != old
    assert grant(database, new, now=499.9) == grant(database, old, now=159.9)
    assert grant(database, new).scopes == {"read"}
    assert grant(database, old, now=160.0) is None
    assert grant(database, new, now=500.0) is None


def test_no_more_than_two_secrets_are_good(database: Database) -> None:
    first, second, third = make(database), rotate(database), rotate(database, "1")
    assert [grant(database, token) is not None for token in (first, second, third)] == [
        False, True, True,
    ]  # fmt: skip


def test_without_a_grace_the_old_secret_ends_at_once(database: Database) -> None:
    first, second = make(database), rotate(database)
    third = rotate(database, grace_seconds=0.0)
    assert [grant(database, token) is not None for token in (first, second, third)] == [
        False, False, True,
    ]  # fmt: skip


def test_an_expired_token_is_rotated_only_with_a_new_end(database: Database) -> None:
    make(database, expires_at=90.0)
    with pytest.raises(ConflictError, match="--days"):
        rotate(database)
    assert grant(database, rotate(database, expires_at=200.0)) is not None


def test_a_name_of_several_tokens_rotates_none(database: Database) -> None:
    tokens = [make(database), make(database)]
    with pytest.raises(ConflictError, match="tokens 1, 2 are called t"):
        rotate(database)
    with pytest.raises(NotFoundError):
        rotate(database, "nobody")
    assert all(grant(database, token) for token in tokens)
    rotate(database, "2", grace_seconds=0.0)
    assert [grant(database, token) is not None for token in tokens] == [True, False]


def used_at(database: Database) -> float | None:
    with database.read() as session:
        [token] = list_tokens(session)
    return token.used_at


def test_a_use_is_written_once_an_hour_whoever_notices_it(database: Database) -> None:
    make(database)
    uses, others = TokenUses(database), TokenUses(database)
    assert used_at(database) is None
    assert uses.is_due(1, now=1000.0)
    uses.write(1, now=1000.0)
    assert not uses.is_due(1, now=1000.0 + APART_SECONDS - 1)
    others.write(1, now=1001.0)
    assert used_at(database) == 1000.0
    assert uses.is_due(1, now=1000.0 + APART_SECONDS)
    others.write(1, now=1000.0 + APART_SECONDS)
    assert used_at(database) == 1000.0 + APART_SECONDS
    others.write(1, now=500.0)
    assert used_at(database) == 500.0, "a clock that was set back"


def test_a_use_that_cannot_be_written_fails_nobody(database: Database) -> None:
    make(database)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    TokenUses(database).write(1, now=1000.0)
    assert used_at(database) is None


def test_a_request_that_is_let_in_is_a_use(guarded: Guarded) -> None:
    database = Database(Settings(data_dir=guarded.server.data_dir).resolved_database_url)

    def uses() -> dict[str, bool]:
        with database.read() as session:
            return {token.name: token.used_at is not None for token in list_tokens(session)}

    assert guarded.callers["read"].request("GET", "/api/v1/runs")[0] == 200
    assert guarded.callers["expired"].request("GET", "/api/v1/runs")[0] == 401
    wait_for(lambda: uses()["read"], "the use of a token")
    assert not uses()["expired"]
    database.close()


NOT_TOKENS = [
    "", "bifurk", "bifurk_", "bifurk_1", "bifurk_1_", "bifurk__", "bifurk_-1_x", "bifurk_²_x",
    "bifurk_99999999999999999999999_x", "bifurk_1_" + "x" * 5000, "Bearer", "1", "\xff\xfe",
]  # fmt: skip


@pytest.mark.parametrize("presented", NOT_TOKENS)
def test_what_is_no_token_opens_nothing(guarded: Guarded, presented: str) -> None:
    caller = Caller(guarded.server)
    for scheme in ("Bearer", "bearer", "Basic", ""):
        headers = {"Authorization": f"{scheme} {presented}".strip()}
        status, _ = caller.request("GET", "/api/v1/runs", headers=headers)
        assert status == 401


def test_the_scheme_is_read_in_any_case(guarded: Guarded) -> None:
    token = guarded.callers["read"].headers["Authorization"].partition(" ")[2]
    headers = {"Authorization": f"bEARER {token}"}
    assert Caller(guarded.server).request("GET", "/api/v1/runs", headers=headers)[0] == 200


def test_an_open_server_closes_with_its_first_token_and_opens_with_the_last_one_gone(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    assert Caller(server).request("GET", "/api/v1/runs")[0] == 200
    tokens = make_tokens(server.data_dir)
    assert Caller(server).request("GET", "/api/v1/runs")[0] == 401
    assert Caller(server, tokens["read"]).request("GET", "/api/v1/runs")[0] == 200
    database = Database(Settings(data_dir=server.data_dir).resolved_database_url)
    with database.write() as session:
        for token in list_tokens(session):
            revoke_token(session, token.id, now=100.0)
    database.close()
    assert Caller(server).request("GET", "/api/v1/runs")[0] == 200
