"""Whatever bounds the reading of long runs tells the same on PostgreSQL as on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, NamedTuple

import psycopg
import pytest

from bifurk_service.api import comparisons
from bifurk_service.api.partings import parting_of
from bifurk_service.store import streaming
from bifurk_service.store.engine import Database
from tests.database import fresh_database
from tests.deploy.postgres import Postgres
from tests.postgres.asked import OF_THE_STORE, PAST_PATHS, PATHS, answers
from tests.postgres.filled import Side

AT_ONCE: Final = 50
"""Snapshots of a download's stretch: the runs have several."""


class Told(NamedTuple):
    """Everything both have answered, by what was asked."""

    sqlite: dict[str, Any]
    postgres: dict[str, Any]


@pytest.fixture(scope="module")
def told(cluster: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Told]]:
    """Before and after the past is thinned."""
    folders = [tmp_path_factory.mktemp(name) for name in ("sqlite", "postgres")]
    databases = fresh_database(folders[0]), Database(in_the_order_of_a_dictionary(cluster))
    databases[1].upgrade()
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(streaming, "SNAPSHOTS_AT_ONCE", AT_ONCE)
        patch.setattr(comparisons, "parting_of", partial(parting_of, most_points=0))
        sides = [Side(*one) for one in zip(folders, databases, strict=True)]
        for side in sides:
            stack.callback(side.close)
            side.fill()
        whole = Told(*(answers(side, PATHS) for side in sides))
        for side in sides:
            side.thin()
        yield {"whole": whole, "thinned": Told(*(answers(side, PAST_PATHS) for side in sides))}


def in_the_order_of_a_dictionary(cluster: Postgres) -> str:
    """The URL of an empty database that compares words as most of them do, and SQLite does not."""
    made = "CREATE DATABASE answers TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    with psycopg.connect(cluster.address("postgres"), autocommit=True) as connection:
        connection.execute(made)
    return f"postgresql+psycopg://postgres@127.0.0.1:{cluster.port}/answers"


@pytest.mark.parametrize("question", [*PATHS, *OF_THE_STORE])
def test_both_tell_the_same(told: dict[str, Told], question: str) -> None:
    sqlite, postgres = told["whole"]
    assert postgres[question] == sqlite[question]


@pytest.mark.parametrize("question", [*PAST_PATHS, *OF_THE_STORE])
def test_of_a_thinned_past_as_well(told: dict[str, Told], question: str) -> None:
    sqlite, postgres = told["thinned"]
    assert postgres[question] == sqlite[question]


def test_it_is_told_from_what_is_condensed_and_kept(told: dict[str, Told]) -> None:
    """Else the same would be told of nothing."""
    (_, whole), (_, thinned) = told["whole"], told["thinned"]
    for kind in ("series?stat=std", "series?stat=their own", "profile/series?name=projection_std"):
        status, answer = whole[f"/api/v1/runs/{{past}}/{kind}&points=4"]
        assert (status, answer["items"][0]["reduced"]) == (200, True)
    assert whole["/api/v1/runs/{past}/scalars/loss?points=8"][1]["reduced"]
    parting = whole["/api/v1/runs/{faulty}/compare?with={good}"][1]["parting"]
    assert (parting["common_steps"], parting["first_difference"]) == (None, 120)
    series = thinned["/api/v1/runs/{past}/series?stat=std&points=1000"][1]["items"]
    assert series[0]["thinned"] == [[10, 1110]]
    rows = whole["/alerts/1/figures/evidence.csv"][1].splitlines()
    assert len(rows) > 5 * AT_ONCE
