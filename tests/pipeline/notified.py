"""A notifier at work, and an alerts file that names receivers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bifurk_service.notify.addresses import Destinations
from bifurk_service.notify.followed import FollowedPolicy
from bifurk_service.notify.sending import Sender
from bifurk_service.pipeline.notifying import Notifier
from bifurk_service.store.engine import Database
from tests.notify.receiver import Receiver


@contextmanager
def notifying(
    database: Database, file: Path, leads: Callable[[], bool] = lambda: True
) -> Iterator[Notifier]:
    """Started, and stopped at the end."""
    notifier = Notifier(
        database,
        FollowedPolicy(file),
        Sender(Destinations(private=True)),
        public_url="",
        observe=lambda _channel, _outcome: None,
        leads=leads,
    )
    notifier.start()
    try:
        yield notifier
    finally:
        notifier.stop()


def channels_file(folder: Path, **receivers: Receiver) -> Path:
    """Channels by name, each a webhook."""
    file = folder / "alerts.yaml"
    lines = [f"  {name}: {{type: webhook, url: '{one.url}'}}" for name, one in receivers.items()]
    file.write_text("\n".join(["channels:", *lines]))
    return file
