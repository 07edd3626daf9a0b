"""People are told whatever happened at the moment at which somebody began to tell them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bifurk_service.pipeline import notifying as notifying_module
from bifurk_service.pipeline.telling import Teller
from bifurk_service.store.engine import Database
from tests.database import fresh_database
from tests.notify.receiver import Receiver
from tests.pipeline.notified import channels_file, notifying
from tests.pipeline.outbox import Outbox


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    yield database
    database.close()


def test_a_channel_whose_thread_could_not_begin_is_told_when_it_can(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying_module, "FOLLOW_SECONDS", 0.02)
    outbox, receivers = Outbox(database), [Receiver(), Receiver()]
    file = channels_file(tmp_path, **{f"c{n}": one for n, one in enumerate(receivers)})
    tries: list[str] = []
    start = Teller.start

    def second_time(teller: Teller) -> None:
        tries.append(teller.channel.name)
        if tries.count(teller.channel.name) == 1:
            raise RuntimeError("can't start new thread")
        start(teller)

    monkeypatch.setattr(Teller, "start", second_time)
    leads = [False]
    with notifying(database, file, lambda: leads[0]):
        leads[0] = True
        outbox.put(outbox.alert(), "c0", "c1")
        for one in receivers:
            one.wait_for(1)
    for one in receivers:
        one.close()
