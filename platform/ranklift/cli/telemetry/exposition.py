"""Metrics over HTTP, for Prometheus to fetch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from ranklift.v1.errors import InvalidRequest
from ranklift.v1.hosting import split_address


@contextmanager
def exposed(address: str, registry: CollectorRegistry, setting: str) -> Iterator[None]:
    """Serve a registry at http://`address`/metrics; at no address when it is empty.

    Raises:
        InvalidRequest: the address, which `setting` gave, is malformed, not loopback, or taken.
    """
    if not address:
        yield
        return
    try:
        host, port = split_address(address)
    except InvalidRequest as error:
        raise InvalidRequest.of(setting, error.violations[0].description) from error
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise InvalidRequest.of(
            setting, f"cannot listen on {address}: {error.strerror}; choose another port"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
