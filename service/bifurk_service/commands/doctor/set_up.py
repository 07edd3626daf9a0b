"""What was written down for the service: variables, the alerts file, its address."""

from __future__ import annotations

import difflib
import socket
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

from bifurk.config import WatchConfig
from bifurk_service.commands.doctor.finding import Finding, fine, problem, warning
from bifurk_service.commands.doctor.probing import PROBE_SECONDS, bifurk_version
from bifurk_service.errors import BifurkError
from bifurk_service.notify.addresses import AddressError, Destinations, check_url
from bifurk_service.notify.channels import Channel
from bifurk_service.notify.rules import Policy
from bifurk_service.settings import Settings

PREFIX: Final = "BIFURK_"
ALIKE: Final = 0.75
"""Two letters of eight may be others."""
KNOWN: Final = frozenset(
    f"{PREFIX}{name.upper()}"
    for name in (
        *Settings.model_fields,
        *(one.name for one in fields(WatchConfig)),
        "launch",
    )
)
"""Of the service, of the client, and what `bifurk run` tells the processes that it starts."""


def variables(environment: Mapping[str, str], alerts_file: Path | None) -> Finding:
    """Every ``BIFURK_*`` is a setting, or named in the alerts file; others do nothing."""
    text = _text(alerts_file)
    unknown = sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name not in KNOWN and name not in text
    )
    if not unknown:
        count = sum(name.startswith(PREFIX) for name in environment)
        return fine("variables", f"{count} are set, each a setting")
    meant = [(name, _meant(name)) for name in unknown]
    words = [f"{name} (did you mean {like}?)" if like else name for name, like in meant]
    found = f"no setting is called {', '.join(words)}"
    if any(like for _, like in meant):
        return problem("variables", found, "mend its name: as it is, it does nothing")
    return warning("variables", found, "take it away, or see docs/settings.md for its name")


def _meant(name: str) -> str | None:
    """The setting that a name is nearly that of."""
    names = [known.removeprefix(PREFIX) for known in sorted(KNOWN)]
    like = difflib.get_close_matches(name.removeprefix(PREFIX), names, n=1, cutoff=ALIKE)
    return f"{PREFIX}{like[0]}" if like else None


def _text(file: Path | None) -> str:
    try:
        return "" if file is None else file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def alerts_file(settings: Settings, *, connecting: bool) -> Finding:
    """The file is right, and its channels lead where messages may go; nothing is sent.

    Args:
        connecting: whether a connection to each is tried.
    """
    if settings.alerts_file is None:
        return fine(
            "alerts", "no BIFURK_ALERTS_FILE: nobody is told, `bifurk alerts ls` lists them"
        )
    try:
        policy = Policy.load(settings.alerts_file)
        destinations = Destinations(
            settings.notify_allowed_hosts, private=settings.notify_private_addresses
        )
    except (BifurkError, AddressError) as error:
        return problem("alerts", str(error), "mend it: a server does not start with it")
    for channel in policy.channels:
        found = _channel(channel, destinations, connecting=connecting)
        if found is not None:
            return found
    names = ", ".join(channel.name for channel in policy.channels) or "none"
    held = ", ".join(baseline.name for baseline in policy.baselines)
    baselines = f"; baselines: {held}" if held else ""
    answer = ", each takes connections" if connecting and policy.channels else ""
    return fine("alerts", f"{len(policy.rules)} rules; channels: {names}{answer}{baselines}")


def _channel(channel: Channel, destinations: Destinations, *, connecting: bool) -> Finding | None:
    """What is wrong with it, or None."""
    try:
        place = check_url(channel.url)
        address = destinations.address(place)
    except AddressError as error:
        return problem(
            "alerts",
            f"channel {channel.name}: {error}",
            "mend its address, or see BIFURK_NOTIFY_ALLOWED_HOSTS and "
            "BIFURK_NOTIFY_PRIVATE_ADDRESSES",
        )
    if not connecting:
        return None
    try:
        socket.create_connection((address, place.port), timeout=PROBE_SECONDS).close()
    except OSError as error:
        return problem(
            "alerts",
            f"channel {channel.name}: {place.host} takes no connection on port {place.port} "
            f"({error.strerror or error})",
            "see that the receiver runs and that nothing stands between",
        )
    return None


def public_url(url: str) -> Finding:
    """Whether a bifurk answers where messages lead to, as far as this machine can tell."""
    version = bifurk_version(url)
    if version is None:
        return warning(
            "public url",
            f"no bifurk answers at {url} from here",
            "see BIFURK_PUBLIC_URL and the proxy; if only people's machines reach it, all is well",
        )
    return fine("public url", f"bifurk {version} answers at {url}")
