"""What a client shows and trusts, certificates and a token: one value that makes channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from ranklift.v1.addresses import is_loopback
from ranklift.v1.errors import InvalidRequest
from ranklift.v1.metadata import AUTHORIZATION

Options = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """How calls to a server are protected. Without `ca` they are in the clear, on loopback only.

    `ca` is a PEM file with the authorities that may have signed the server's
    certificate; `certificate` and `key` are this client's own, for servers that
    ask for one (mTLS); `token` is a bearer token.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    token: str = field(default="", repr=False)

    def channel(self, address: str, options: Options = ()) -> grpc.Channel:
        """Return a blocking channel to "host:port".

        Raises:
            InvalidRequest: a file cannot be read, or a token would leave the machine in the clear.
        """
        secure = self._checked(address)
        if secure is not None:
            return grpc.secure_channel(address, secure, options=list(options))
        channel = grpc.insecure_channel(address, options=list(options))
        return grpc.intercept_channel(channel, _Bearer(self.token)) if self.token else channel

    def aio_channel(
        self,
        address: str,
        options: Options = (),
        interceptors: Sequence[aio.ClientInterceptor] = (),
    ) -> aio.Channel:
        """Return an asyncio channel to "host:port"; raises as `channel`."""
        secure = self._checked(address)
        if secure is not None:
            return aio.secure_channel(
                address, secure, options=list(options), interceptors=list(interceptors)
            )
        bearer = (_AioUnary(self.token), _AioStream(self.token)) if self.token else ()
        return aio.insecure_channel(
            address, options=list(options), interceptors=[*interceptors, *bearer]
        )

    def _checked(self, address: str) -> grpc.ChannelCredentials | None:
        if not self.ca:
            if self.certificate or self.key:
                raise InvalidRequest.of(
                    "ca", "a client certificate needs TLS; name the authority of the server too"
                )
            if self.token and not is_loopback(address.rpartition(":")[0]):
                raise InvalidRequest.of(
                    "ca", f"a token is not sent to {address} in the clear; name the authority (ca)"
                )
            return None
        if bool(self.certificate) != bool(self.key):
            raise InvalidRequest.of(
                "certificate", "a client certificate and its key come together; give both"
            )
        channel = grpc.ssl_channel_credentials(
            root_certificates=_read("ca", self.ca),
            private_key=_read("key", self.key) if self.key else None,
            certificate_chain=_read("certificate", self.certificate) if self.certificate else None,
        )
        if not self.token:
            return channel
        return grpc.composite_channel_credentials(
            channel, grpc.access_token_call_credentials(self.token)
        )


IN_THE_CLEAR = Credentials()


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequest.of(name, f"cannot read {path}: {error.strerror}") from error


class _Details(grpc.ClientCallDetails):
    """A copy of a blocking call's details with other metadata."""

    def __init__(
        self, of: grpc.ClientCallDetails, metadata: Sequence[tuple[str, str | bytes]]
    ) -> None:
        self.method, self.timeout, self.credentials = of.method, of.timeout, of.credentials
        self.metadata = tuple(metadata)
        self.wait_for_ready, self.compression = of.wait_for_ready, of.compression


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends the token with every call of a blocking channel that has no TLS.

    gRPC's own call credentials refuse to, even on loopback.
    """

    def __init__(self, token: str) -> None:
        self._header = (AUTHORIZATION, f"Bearer {token}")

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        return continuation(self._with_token(client_call_details), request)

    intercept_unary_stream = intercept_unary_unary

    def intercept_stream_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request_iterator: Any
    ) -> Any:
        return continuation(self._with_token(client_call_details), request_iterator)

    def _with_token(self, details: grpc.ClientCallDetails) -> grpc.ClientCallDetails:
        return _Details(details, (*(details.metadata or ()), self._header))


class _AioUnary(aio.UnaryUnaryClientInterceptor):
    """As `_Bearer`, for the unary calls of an asyncio channel."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(_aio_details(client_call_details, self._token), request)


class _AioStream(aio.StreamStreamClientInterceptor):
    """As `_Bearer`, for the streams of an asyncio channel."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_stream_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await continuation(_aio_details(client_call_details, self._token), request_iterator)


def _aio_details(details: Any, token: str) -> Any:
    metadata = aio.Metadata(*(details.metadata or ()), (AUTHORIZATION, f"Bearer {token}"))
    return details._replace(metadata=metadata)
