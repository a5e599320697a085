"""Addresses, "host:port", and which of them stay on this machine."""

from __future__ import annotations

import ipaddress

from ranklift.v1.errors import InvalidRequest


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of "host:port".

    Raises:
        InvalidRequest: malformed.
    """
    name, _, port = address.rpartition(":")
    if not name or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise InvalidRequest.of("address", f'"{address}" is not host:port, e.g. 127.0.0.1:7400')
    return name, int(port)


def is_loopback(name: str) -> bool:
    """Return whether a host is this machine and reached by nobody else."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
