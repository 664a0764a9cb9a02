"""Which addresses an outbound call may reach."""

from ipaddress import ip_address

import pytest

from app.domain.errors import ProviderUnavailable
from app.providers.addresses import is_allowed, is_public
from app.providers.http import OutboundClient, origin_of

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd12:3456::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.1.2.3",
    "2002:7f00:1::",
    "2002:a00:1::1",
]
NEVER = [
    "0.0.0.0",  # noqa: S104 - an address to refuse, not to bind
    "::",
    "169.254.169.254",
    "169.254.1.1",
    "fe80::1",
    "224.0.0.1",
    "ff02::1",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "2002:a9fe:a9fe::1",
]


@pytest.mark.parametrize("text", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"])
def test_public_addresses_are_open_to_all(text):
    assert is_public(ip_address(text))
    assert is_allowed(ip_address(text), trusted_origin=False)


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_are_open_to_trusted_origins_alone(text):
    assert not is_allowed(ip_address(text), trusted_origin=False)
    assert is_allowed(ip_address(text), trusted_origin=True)


@pytest.mark.parametrize("text", [*NEVER, "240.0.0.1", "255.255.255.255", "192.0.2.1", "2001:db8::1"])
def test_special_addresses_are_closed_to_strangers(text):
    assert not is_allowed(ip_address(text), trusted_origin=False)


@pytest.mark.parametrize("text", NEVER)
def test_metadata_and_link_local_addresses_are_closed_even_to_trusted_origins(text):
    assert not is_allowed(ip_address(text), trusted_origin=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "",
        "https://",
        "https://user@example.com/",
        "https://good.example.com@evil.example.com/",
        "https://example.com:22/",
        "https://example.com:99999/",
        "https://[::1/",
    ],
)
def test_odd_addresses_are_refused_before_any_look_up(url):
    def resolve(host, port):
        raise AssertionError((host, port))

    with pytest.raises(ProviderUnavailable, match="address_refused"):
        OutboundClient(resolve=resolve).request("GET", url)


@pytest.mark.parametrize(
    "answers", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], ["169.254.169.254"], ["fe80::1%lo"], []]
)
def test_one_bad_address_among_the_answers_refuses_the_call(answers):
    client = OutboundClient(resolve=lambda _host, _port: answers)

    with pytest.raises(ProviderUnavailable, match="address_refused"):
        client.request("GET", "https://example.com/")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.1.2.3"])
def test_literal_addresses_are_judged_too(host):
    with pytest.raises(ProviderUnavailable, match="address_refused"):
        OutboundClient().request("GET", f"https://{host}/")


@pytest.mark.parametrize("failure", [OSError("no such host"), UnicodeError("label too long")])
def test_a_name_without_address_is_a_dns_fault(failure):
    def resolve(host, port):
        raise failure

    with pytest.raises(ProviderUnavailable, match="dns"):
        OutboundClient(resolve=resolve).request("GET", "https://example.com/")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Example.COM/a?b", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://example.com:80/", "http://example.com"),
        ("https://example.com:8443/", "https://example.com:8443"),
        ("http://[::1]:80/", "http://[::1]"),
    ],
)
def test_origins_have_one_spelling(url, origin):
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://graph.microsoft.com/v1.0/me?$top=5", "http://127.0.0.1:9/v1.0/me?$top=5"),
        ("https://GRAPH.microsoft.com:443/v1.0/me", "http://127.0.0.1:9/v1.0/me"),
        ("https://idp.sandbox.test/token", "http://127.0.0.1:9/idp/token"),
        ("https://idp.sandbox.test", "http://127.0.0.1:9/idp"),
        ("https://idp.sandbox.test/a#fragment", "http://127.0.0.1:9/idp/a"),
    ],
)
def test_routes_change_the_address_and_nothing_else(url, address):
    routes = {
        "https://graph.microsoft.com": "http://127.0.0.1:9",
        "https://idp.sandbox.test/": "http://127.0.0.1:9/idp/",
    }

    assert OutboundClient(routes).address_of(url) == address


@pytest.mark.parametrize(
    "url", ["https://graph.microsoft.com.evil.example/", "https://graph.microsoft.com:8443/x", "https://evil.example/"]
)
def test_routes_match_whole_origins(url):
    assert OutboundClient({"https://graph.microsoft.com": "http://127.0.0.1:9"}).address_of(url) == url
