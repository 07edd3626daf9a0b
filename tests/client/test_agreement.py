"""The names of an attempt that several ranks send parts to."""

from __future__ import annotations

import itertools

import pytest
import torch.distributed as dist

from bifurk import agreement
from bifurk.agreement import NoSharedStoreError, shared_names, shared_writer
from bifurk.config import WatchSettings
from bifurk.identity import Rank

TORCHRUN = {"TORCHELASTIC_RUN_ID": "job", "TORCHELASTIC_RESTART_COUNT": "1"}


class Ranks:
    """Processes of one job, each with its own count of watches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._counts = [itertools.count() for _ in range(2)]

    def names(
        self,
        rank: int,
        settings: WatchSettings | None = None,
        environ: dict[str, str] | None = None,
    ) -> WatchSettings:
        self._monkeypatch.setattr(agreement, "_watches", self._counts[rank])
        return shared_names(settings or {}, environ=environ or {}, rank=Rank(rank=rank, ranks=2))


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Ranks:
    store = dist.HashStore()
    monkeypatch.setattr("torch.distributed.distributed_c10d._get_default_store", lambda: store)
    return Ranks(monkeypatch)


def test_whoever_comes_first_names_the_attempt_for_all(ranks: Ranks) -> None:
    first, second = ranks.names(1), ranks.names(0)
    assert first == second
    assert first["run"] != first["attempt"]


def test_a_second_watch_is_another_attempt(ranks: Ranks) -> None:
    first = [ranks.names(0, {"run": "gpt"}), ranks.names(1, {"run": "gpt"})]
    second = [ranks.names(0, {"run": "gpt"}), ranks.names(1, {"run": "gpt"})]
    assert first[0] == first[1] != second[0] == second[1]
    assert second[0]["run"] == "gpt"


def test_under_torchrun_all_ranks_share_the_name_with_its_chance_word(ranks: Ranks) -> None:
    first, second = (ranks.names(rank, environ=TORCHRUN)["attempt"] for rank in range(2))
    assert first == second
    assert first is not None
    assert first.startswith("torchelastic-job-1-")


def test_names_that_are_given_stay(ranks: Ranks) -> None:
    given: WatchSettings = {"run": "gpt", "attempt": "third"}
    assert ranks.names(0, given) == given
    environ = {"BIFURK_ATTEMPT": "fourth"}
    assert "attempt" not in ranks.names(0, {"run": "gpt"}, environ), "the environment decides"


def test_without_a_store_it_says_what_to_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoSharedStoreError, match="pass run= and attempt="):
        Ranks(monkeypatch).names(0)


def test_all_ranks_of_a_job_are_one_writer_and_its_next_watch_is_another(
    ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [itertools.count() for _ in range(2)]

    def writer(rank: int) -> str | None:
        monkeypatch.setattr(agreement, "_writers", counts[rank])
        return shared_writer(Rank(rank=rank, ranks=2))

    first, second = [writer(0), writer(1)], [writer(1), writer(0)]
    assert first[0] == first[1] != second[0] == second[1]
    assert shared_writer(Rank()) not in {*first, *second, shared_writer(Rank())}


def test_ranks_without_a_store_are_no_writer_that_could_be_told_apart() -> None:
    assert shared_writer(Rank(rank=1, ranks=2)) is None
