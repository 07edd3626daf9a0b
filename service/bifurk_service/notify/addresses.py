"""Where messages may go: addresses are checked as they are connected to, whatever a name says."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Reach: TypeAlias = Literal["public", "private", "never"]

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""An IPv4 address stands in the last 32 bits (RFC 6052); so it does in IPv4-compatible ones."""
COMPATIBLE: Final = ipaddress.IPv6Network("::/96")

METADATA: Final = tuple(
    ipaddress.ip_address(text)
    for text in (
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
    )
)
"""Clouds give out a machine's credentials or settings here too, beside the link-local addresses."""

_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?", re.IGNORECASE)
_NUMERIC_END: Final = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?$", re.IGNORECASE)
"""Resolvers take `2130706433`, `0x7f.1` and `0177.0.0.1` for addresses; people write none."""


class AddressError(ValueError):
    """This server sends nothing there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The parts of a URL that a connection is made from; ``target`` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """The host as requests name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def check_url(url: str) -> Place:
    """The parts of a URL that messages may be sent to, as far as the text alone can say.

    Raises:
        AddressError: another scheme, a user in it, or a host that is not written as people do.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressError("expected a URL of printable ASCII without spaces or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressError(f"expected a URL, and this is none: {error}") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise AddressError(f"expected http:// or https://, got the scheme {parts.scheme!r}")
    if "@" in parts.netloc:
        raise AddressError("expected no user or password in front of the host")
    if parts.fragment:
        raise AddressError("expected no fragment; it would not be sent")
    if port == 0:
        raise AddressError("expected a port from 1 to 65535, got 0")
    return Place(
        scheme=parts.scheme,
        host=_host(parts.hostname or ""),
        port=port or DEFAULT_PORTS[parts.scheme],
        target=_target(parts),
    )


def _host(host: str) -> str:
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host.partition("%")[0]))
        except ValueError:
            raise AddressError(f"expected a host, got {host!r}") from None
    if not _HOST.fullmatch(host) or ".." in host:
        raise AddressError(f"expected a host, got {host!r}")
    if _NUMERIC_END.search(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise AddressError(
                f"expected an IPv4 address as four decimal numbers, got {host!r}"
            ) from None
    return host.removesuffix(".")


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def reach_of(address: Address) -> Reach:
    """Who an address belongs to: anyone, a private network or this machine, or nobody to be told.

    Link-local addresses and ``METADATA`` are among the last: cloud machines give out their
    credentials there.
    """
    inner = _embedded(address)
    if inner is not None:
        return reach_of(inner)
    if address.is_loopback:
        return "private"
    if (
        address in METADATA
        or address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or address.is_reserved
    ):
        return "never"
    return "public" if address.is_global and not _is_site_local(address) else "private"


def _is_site_local(address: Address) -> bool:
    """fec0::/10, which Python counts as global: given up by RFC 3879, still in use inside."""
    return isinstance(address, ipaddress.IPv6Address) and address.is_site_local


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in NAT64 or (address in COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


class Destinations:
    """Which hosts and addresses this server sends to.

    Args:
        allowed: host names, globs of them (``*.example.org``) or networks (``192.0.2.0/24``);
            empty: any. private: whether private networks and this machine are among them.
        lookup: the addresses of a host and port.

    Raises:
        AddressError: an entry of the list is neither.
    """

    def __init__(
        self,
        allowed: Sequence[str] = (),
        *,
        private: bool = False,
        lookup: Callable[[str, int], list[str]] | None = None,
    ) -> None:
        self._private = private
        self._lookup = lookup or _lookup
        self._names: list[str] = []
        self._networks: list[Network] = []
        for entry in allowed:
            network = _network(entry)
            if network is not None:
                self._networks.append(network)
            elif re.fullmatch(r"[a-z0-9_.*-]+", entry, re.IGNORECASE):
                self._names.append(entry.lower().removesuffix("."))
            else:
                raise AddressError(f"expected a host name or a network, got {entry!r}")

    def address(self, place: Place) -> str:
        """The address to connect to; all of a host's addresses must be allowed, not just one.

        Raises:
            AddressError: the host has none, or one that nothing is sent to.
        """
        found = [ipaddress.ip_address(text) for text in self._lookup(place.host, place.port)]
        if not found:
            raise AddressError(f"{place.host} has no address")
        for address in found:
            self._check_reach(place.host, address)
        if not self._listed(place.host, found):
            raise AddressError(f"{place.host} is not in BIFURK_NOTIFY_ALLOWED_HOSTS")
        return str(found[0])

    def _check_reach(self, host: str, address: Address) -> None:
        reach = reach_of(address)
        if reach == "never":
            raise AddressError(f"{host} is at {address}, where nothing is sent")
        if reach == "private" and not self._private:
            raise AddressError(
                f"{host} is at {address}, which is not public; "
                "BIFURK_NOTIFY_PRIVATE_ADDRESSES=true allows that"
            )

    def _listed(self, host: str, addresses: list[Address]) -> bool:
        if not self._names and not self._networks:
            return True
        if any(fnmatchcase(host.lower(), name) for name in self._names):
            return True
        return all(any(a in network for network in self._networks) for a in addresses)


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        if "/" in entry or ":" in entry:
            raise AddressError(f"expected a host name or a network, got {entry!r}") from None
        return None


def _lookup(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"{host} cannot be looked up: {error}") from error
    return list(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))
