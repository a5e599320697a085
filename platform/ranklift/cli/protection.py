"""From settings to how servers are protected, and to what clients show them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ranklift.settings import Settings, TLSSettings
from ranklift.store.registry import Registry
from ranklift.store.token_poller import TokenPoller
from ranklift.v1.addresses import is_loopback, parse_address
from ranklift.v1.credentials import Credentials
from ranklift.v1.errors import InvalidRequest
from ranklift.v1.hosting import Security
from ranklift.v1.tls import ServerTLS

if TYPE_CHECKING:
    from ranklift.events.pseudonyms import Pseudonyms


@asynccontextmanager
async def protection(
    settings: Settings, address: str, tls: TLSSettings, registry: Registry
) -> AsyncIterator[Security]:
    """Yield the security of a server on `address`; its tokens are read as long as it is open.

    Tokens are required when the settings say so, and always off loopback.

    Raises:
        InvalidRequest: half of a certificate, or an address off loopback without one.
        NotReady: tokens are required and there is none.
    """
    from ranklift.v1.guard import Guard

    served = _tls(tls)
    away = not is_loopback(parse_address(address)[0])
    if away and served is None:
        raise InvalidRequest.of(
            "address",
            f'"{address}" is not a loopback address: it needs TLS (tls.certificate and tls.key) '
            "and tokens; or use 127.0.0.1",
        )
    if not away and settings.security.tokens == "off":
        yield Security(served, Guard(record=registry.audit.record))
        return
    tokens = TokenPoller(registry.tokens)
    await tokens.start()
    try:
        yield Security(served, Guard(tokens.current, registry.audit.record))
    finally:
        await tokens.close()


def _tls(tls: TLSSettings) -> ServerTLS | None:
    if not tls.certificate and not tls.key:
        if tls.client_ca:
            raise InvalidRequest.of(
                "tls.client_ca", "needs tls.certificate and tls.key of the server too"
            )
        return None
    if not tls.certificate or not tls.key:
        raise InvalidRequest.of("tls.certificate", "comes with tls.key; give both or neither")
    return ServerTLS(tls.certificate, tls.key, tls.client_ca)


def credentials_of(settings: Settings) -> Credentials:
    """Return what this installation's clients show to servers."""
    client = settings.client
    token = client.token.get_secret_value()
    return Credentials(client.ca, client.certificate, client.key, token)


def pseudonyms_of(settings: Settings) -> Pseudonyms | None:
    """Return what unit ids become before they reach the disk; None when they stay as they are.

    Whoever looks for a unit in the log asks for its id here first.

    Raises:
        InvalidRequest: the key file cannot be read or made, or is too short.
    """
    from ranklift.events.pseudonyms import KEY_FILE, read_key

    if not settings.events.hash_units:
        return None
    return read_key(settings.events.hash_key_file or settings.home / KEY_FILE)
