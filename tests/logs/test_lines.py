"""A line of the log: what it carries, that it stays one line, and what is taken out of it."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from bifurk_service.logs import begin_request, bind, bound, current_request
from bifurk_service.logs.formatting import OWN, JsonFormatter, TextFormatter
from bifurk_service.logs.redaction import HIDDEN, redacted

FORMATTERS = (JsonFormatter(), TextFormatter())
TOKEN = "bifurk_12_" + "s3cret-_x" * 4


def record(message: str, *, error: BaseException | None = None, **own: Any) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("bifurk.service", logging.INFO, __file__, 1, message, None, info)
    setattr(made, OWN, own)
    return made


def test_a_line_carries_what_it_is_written_in_and_its_own() -> None:
    with bound(run_id=7, attempt="first"):
        with bound(sequence=3):
            line = json.loads(JsonFormatter().format(record("measured", seconds=0.5, token=None)))
            text = TextFormatter().format(record("measured", seconds=0.123456))
        after = json.loads(JsonFormatter().format(record("next")))
    assert {name: line[name] for name in ("run_id", "attempt", "sequence", "seconds")} == {
        "run_id": 7, "attempt": "first", "sequence": 3, "seconds": 0.5,
    }  # fmt: skip
    assert (line["level"], line["logger"], line["message"]) == (
        "info", "bifurk.service", "measured",
    )  # fmt: skip
    assert "token" not in line
    assert text.endswith("measured  run_id=7 attempt=first sequence=3 seconds=0.1235")
    assert "sequence" not in after
    assert "run_id" not in json.loads(JsonFormatter().format(record("outside")))


def test_no_field_takes_the_place_of_what_every_line_has() -> None:
    with bound(message="forged", level="forged"):
        line = json.loads(JsonFormatter().format(record("true")))
    assert (line["message"], line["level"]) == ("true", "info")


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
def test_what_somebody_sends_makes_no_second_line(formatter: logging.Formatter) -> None:
    forged = "a\nERROR forged\r\x1b[31m\u2028b"
    line = formatter.format(record(forged, run=forged))
    assert len(line.splitlines()) == 1 or isinstance(formatter, JsonFormatter)
    assert "\n" not in line
    assert "\x1b" not in line


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
@pytest.mark.parametrize(
    ("said", "secret"),
    [
        (f"no such token {TOKEN}", TOKEN[10:]),
        (f"Authorization: Bearer {TOKEN}", TOKEN[10:]),
        ("header 'authorization: Basic dXNlcjpwYXNzd29yZA=='", "dXNlcjpwYXNzd29yZA"),
        ("postgresql+psycopg://bifurk:pass-word@db:5432/x did not answer", "pass-word"),
        ("redis://:pass-word@db", "pass-word"),
        ("Cookie: bifurk_token=abcdefghij; other=1", "abcdefghij"),
        ("connect failed: password=hunter2 host=db", "hunter2"),
    ],
)
def test_secrets_are_taken_out_of_messages_fields_and_tracebacks(
    formatter: logging.Formatter, said: str, secret: str
) -> None:
    line = formatter.format(record(said, error=ValueError(said), why=said))
    assert secret not in line
    assert line.count(HIDDEN) >= 3


@pytest.mark.parametrize(
    "said",
    [
        "GET /api/v1/runs/{run_id} 200",
        "bifurk_12 is no token",
        "http://127.0.0.1:8700/runs/1?at=2 answers",
        "blob tests/run/first/0000000001-0-0123456789abcdef.part",
        "the password of the database is wrong",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    assert redacted(said) == said


def begun(wished: str | None) -> str:
    """The id of a request; what it binds is gone with it."""
    return copy_context().run(begin_request, wished).id


@pytest.mark.parametrize(
    "wished", ["a", "0-9.z_Z", "a" * 64, "5f0c7a64-1b2e-4d6f-8e7a-0123456789ab"]
)
def test_a_sane_id_is_taken_over(wished: str) -> None:
    assert begun(wished) == wished


@pytest.mark.parametrize(
    "wished", [None, "", "-a", "a" * 65, "a b", "a\nb", "a\n", "ä", "a;b", '"']
)
def test_another_is_made_in_place_of_one_that_is_not(wished: str | None) -> None:
    made = [begun(wished) for _ in range(2)]
    assert wished not in made
    assert made[0] != made[1]
    assert all(len(one) == 16 and one.isalnum() for one in made)


def test_requests_of_other_threads_are_others() -> None:
    def answer(name: str) -> tuple[str, object]:
        begin_request(name)
        bind(token=name)
        line = json.loads(JsonFormatter().format(record("x")))
        found = current_request()
        assert found is not None
        return found.id, line["token"]

    with ThreadPoolExecutor(4) as pool:
        names = [f"r{number}" for number in range(20)]
        assert list(pool.map(answer, names)) == [(name, name) for name in names]
