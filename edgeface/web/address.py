"""Hosts and addresses in all their spellings."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

from edgeface.errors import SourceError, must_be

__all__ = ["Listen", "host_of_header", "resolve"]


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen.

    Attributes:
        family: of the socket.
        address: for ``socket.bind``.
        shown: the host as it stands in an address that a browser takes.
        hosts: names that a Host header may give; any if None.
    """

    family: socket.AddressFamily
    address: tuple[Any, ...]
    shown: str
    hosts: frozenset[str] | None


def resolve(host: str, port: int) -> Listen:
    """What a host means: the address that is listened at decides whether it is this machine's own, not its spelling.

    Raises:
        InvalidInputError: an empty host, which would be every interface.
        SourceError: nothing on this machine.
    """
    name = host.strip().removeprefix("[").removesuffix("]").rstrip(".")
    if not name:
        raise must_be("host", "a name or an address (0.0.0.0 for every interface)", repr(host))
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceError(f"the live view must be able to listen on {host}:{port}, but got: {error}") from None
    # IPv4 first: "localhost" is mostly both, and more programs take that
    family, _, _, _, sockaddr = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    address = str(sockaddr[0])
    numeric = _canonical(name) != name.lower() or _is_address(name)
    shown = address if numeric else name
    local = frozenset(("localhost", "127.0.0.1", "::1", _canonical(address), _canonical(name)))
    return Listen(family, sockaddr, f"[{shown}]" if ":" in shown else shown, local if _is_loopback(address) else None)


def host_of_header(header: str) -> str:
    """The name or address in a Host header, without the port, in the one spelling that it has in `Listen.hosts`."""
    if header.startswith("["):
        return _canonical(header[1:].split("]", 1)[0])
    return _canonical(header.rsplit(":", 1)[0])


def _canonical(name: str) -> str:
    name = name.lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    if name and set(name) <= set("0123456789abcdefx."):
        try:
            return socket.inet_ntoa(socket.inet_aton(name))  # 127.1, 0x7f.1, 2130706433
        except OSError:
            pass
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
