"""People are told whatever happened at the moment at which somebody began to tell them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bifurk_service.notify.addresses import Destinations
from bifurk_service.notify.followed import FollowedPolicy
from bifurk_service.notify.sending import Sender
from bifurk_service.pipeline import notifying
from bifurk_service.pipeline.notifying import Notifier
from bifurk_service.pipeline.telling import Teller
from bifurk_service.store.engine import Database
from tests.database import fresh_database
from tests.notify.receiver import Receiver
from tests.pipeline.outbox import Outbox


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    yield database
    database.close()


def test_a_channel_whose_thread_could_not_begin_is_told_when_it_can(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "FOLLOW_SECONDS", 0.02)
    outbox, receivers = Outbox(database), [Receiver(), Receiver()]
    file = tmp_path / "alerts.yaml"
    lines = [f"  c{n}: {{type: webhook, url: '{one.url}'}}" for n, one in enumerate(receivers)]
    file.write_text("\n".join(["channels:", *lines]))
    tries: list[str] = []
    start = Teller.start

    def second_time(teller: Teller) -> None:
        tries.append(teller.channel.name)
        if tries.count(teller.channel.name) == 1:
            raise RuntimeError("can't start new thread")
        start(teller)

    monkeypatch.setattr(Teller, "start", second_time)
    leads = [False]
    notifier = Notifier(
        database,
        FollowedPolicy(file),
        Sender(Destinations(private=True)),
        public_url="",
        observe=lambda _channel, _outcome: None,
        leads=lambda: leads[0],
    )
    notifier.start()
    leads[0] = True
    outbox.put(outbox.alert(), "c0", "c1")
    for one in receivers:
        one.wait_for(1)
    notifier.stop()
    for one in receivers:
        one.close()
