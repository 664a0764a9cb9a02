"""Which network addresses an outbound call may reach.

A custom issuer, a discovery document or a stored link can name any host, so every address is judged after
resolution and right before the connection. Sources: OWASP SSRF prevention; IANA special-purpose registries.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_METADATA: frozenset[Address] = frozenset(
    ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254")
)
"""Cloud metadata services outside the link-local range; they hand out credentials to whoever can reach them."""

_NAT64 = IPv6Network("64:ff9b::/96")
_SHARED = IPv4Network("100.64.0.0/10")


def is_public(address: Address) -> bool:
    """Return whether ``address`` is an ordinary host of the public internet."""
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    if address in _METADATA or address.is_multicast or address.is_link_local or address.is_reserved:
        return False
    return address.is_global and not (isinstance(address, IPv4Address) and address in _SHARED)


def is_allowed(address: Address, *, trusted_origin: bool) -> bool:
    """Return whether a connection to ``address`` may be made.

    A trusted origin (a route, or one the operator listed) may live on a private or loopback address; link-local
    and metadata addresses stay closed to everybody.
    """
    if is_public(address):
        return True
    plain = _embedded(address) or address
    if plain in _METADATA or plain.is_link_local or plain.is_multicast or plain.is_unspecified:
        return False
    return trusted_origin and (plain.is_private or plain.is_loopback or plain in _SHARED)


def _embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address an IPv6 one stands for (mapped, 6to4, Teredo, NAT64); null when none."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
