"""Outgoing addresses: what a name leads to is checked, however it is written."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from bifurk_service.notify.addresses import AddressError, Destinations, check_url, reach_of

HOSTILE_URLS = [
    "ftp://example.org/", "file:///etc/passwd", "gopher://example.org", "//example.org",
    "example.org", "http://", "http:///path", "http://user@example.org/", "http://user:word@example.org/",
    "http://example.org@127.0.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/",
    "http://0177.0.0.1/", "http://127.1/", "http://127.0.0.1.1/", "http://1.2.3.256/",
    "http://example.org:0/", "http://example.org:99999/", "http://example.org:port/",
    "http://exa mple.org/", "http://example.org\\@127.0.0.1/", "http://example.org/\r\nHost: a",
    "http://ex\u00e4mple.org/", "http://\uff11\uff12\uff17.0.0.1/", "http://exam%70le.org/", "http://[::1/",
    "http://[example.org]/", "http://a..b/", "http://-/", "http://example.org/#x", "http://./",
]  # fmt: skip


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_url_that_is_not_plainly_one_is_refused(url: str) -> None:
    with pytest.raises(AddressError):
        check_url(url)


def test_the_parts_of_a_url_are_those_that_are_connected_to() -> None:
    place = check_url("https://Hooks.Example.org./a/b?c=d")
    assert (place.scheme, place.host, place.port) == ("https", "hooks.example.org", 443)
    assert (place.target, place.host_header) == ("/a/b?c=d", "hooks.example.org")
    assert check_url("http://[::FFFF:1.2.3.4]:81").host_header == "[::ffff:102:304]:81"


REACHES = [
    ("93.184.215.14", "public"), ("2606:2800:220:1::1", "public"),
    ("::ffff:93.184.215.14", "public"), ("127.0.0.1", "private"), ("127.9.9.9", "private"),
    ("::1", "private"), ("10.1.2.3", "private"),
    ("172.16.0.1", "private"), ("192.168.1.1", "private"), ("100.64.0.1", "private"),
    ("fd00::1", "private"), ("::ffff:127.0.0.1", "private"), ("::ffff:10.0.0.1", "private"),
    ("64:ff9b::7f00:1", "private"), ("2002:7f00:1::", "private"), ("::127.0.0.1", "private"),
    ("192.0.2.1", "private"), ("198.18.0.1", "private"),
    ("169.254.169.254", "never"), ("::ffff:169.254.169.254", "never"), ("fe80::1", "never"),
    ("64:ff9b::a9fe:a9fe", "never"), ("2002:a9fe:a9fe::", "never"), ("0.0.0.0", "never"),
    ("::", "never"), ("224.0.0.1", "never"), ("ff02::1", "never"), ("255.255.255.255", "never"),
    ("240.0.0.1", "never"), ("192.0.0.192", "never"), ("168.63.129.16", "never"),
    ("100.100.100.200", "never"), ("fd00:ec2::254", "never"), ("fd20:ce::254", "never"),
    ("::ffff:168.63.129.16", "never"), ("fec0::1", "private"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "reach"), REACHES)
def test_an_address_belongs_to_anyone_to_a_private_network_or_to_nobody(
    address: str, reach: str
) -> None:
    assert reach_of(ip_address(address)) == reach


def leading_to(*addresses: str, allowed: tuple[str, ...] = (), private: bool = False) -> str:
    found = Destinations(allowed, private=private, lookup=lambda _host, _port: list(addresses))
    return found.address(check_url("https://hooks.example.org/"))


def test_a_public_address_is_sent_to_and_a_private_one_only_where_that_is_set() -> None:
    assert leading_to("93.184.215.14") == "93.184.215.14"
    with pytest.raises(AddressError, match="BIFURK_NOTIFY_PRIVATE_ADDRESSES"):
        leading_to("10.0.0.1")
    assert leading_to("10.0.0.1", private=True) == "10.0.0.1"


def test_credentials_of_cloud_machines_are_out_of_reach_whatever_is_set() -> None:
    for address in ("169.254.169.254", "::ffff:169.254.169.254"):
        with pytest.raises(AddressError, match="where nothing is sent"):
            leading_to(address, allowed=("hooks.example.org",), private=True)


def test_one_bad_address_among_good_ones_is_enough_to_refuse() -> None:
    with pytest.raises(AddressError):
        leading_to("93.184.215.14", "127.0.0.1")


@pytest.mark.parametrize(
    ("allowed", "passes"),
    [
        (("hooks.example.org",), True),
        (("*.example.org",), True),
        (("HOOKS.example.org.",), True),
        (("example.org",), False),
        (("93.184.215.0/24",), True),
        (("93.184.215.14",), True),
        (("10.0.0.0/8",), False),
        (("10.0.0.0/8", "hooks.example.org"), True),
    ],
)
def test_with_a_list_only_what_it_names_is_sent_to(allowed: tuple[str, ...], passes: bool) -> None:
    if passes:
        assert leading_to("93.184.215.14", allowed=allowed)
    else:
        with pytest.raises(AddressError, match="BIFURK_NOTIFY_ALLOWED_HOSTS"):
            leading_to("93.184.215.14", allowed=allowed)


def test_a_list_of_networks_must_hold_every_address() -> None:
    with pytest.raises(AddressError):
        leading_to("93.184.215.14", "93.184.216.14", allowed=("93.184.215.0/24",))


@pytest.mark.parametrize("entry", ["http://example.org", "10.0.0.0/33", "a/b", "", "10.0.0.1/8"])
def test_an_entry_that_is_neither_host_nor_network_is_refused(entry: str) -> None:
    with pytest.raises(AddressError, match="expected a host name or a network"):
        Destinations((entry,))
