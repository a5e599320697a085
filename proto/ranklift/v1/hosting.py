"""A gRPC server as every part of ranklift runs it: health, reflection, statuses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ranklift.v1.addresses import is_loopback, parse_address
from ranklift.v1.draining import Draining
from ranklift.v1.errors import InvalidRequest
from ranklift.v1.guard import Guard
from ranklift.v1.health import Health
from ranklift.v1.status import StatusInterceptor
from ranklift.v1.tls import ServerTLS

# 300 documents of 50 KB: far above a page, far below what would hurt a server.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Two servers that share a port silently would split the traffic between them.
    ("grpc.so_reuseport", 0),
)
# Calls that came in and were not taken up yet. gRPC's own limits, 1,000 calls and 30 s, beyond
# which it cancels some, are a stall of two seconds at 500 calls/s; who waited too long is told by
# the deadline.
SERVER_OPTIONS = (
    *OPTIONS,
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    ("grpc.server_max_unrequested_time_in_server", 120),
)
DRAIN_SECONDS = 5.0

# A thread that computes keeps the event loop, and so every caller, waiting for as long as this, and
# a batch's hundred operators wait for a thread that loads a version. Python's own 5 ms are many
# times what a call takes.
SWITCH_SECONDS = 0.0005

Register = Callable[[aio.Server], None]


@dataclass(frozen=True, slots=True)
class Security:
    """How a server is protected: its certificate, and the guard that knows the tokens.

    Without either it serves in the clear and to everybody, on loopback.
    """

    tls: ServerTLS | None = None
    guard: Guard | None = None


OPEN = Security()


@dataclass(frozen=True, slots=True)
class Hosted:
    """A server that listens, and its health."""

    server: aio.Server
    health: Health
    draining: Draining
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def set_serving(self, service: str, serving: bool) -> None:
        """Set the health of `service`, a full service name or "" for the whole server."""
        await self.health.set(service, serving)

    async def stop(self, grace_seconds: float = DRAIN_SECONDS) -> None:
        """Turn unhealthy, refuse new calls as UNAVAILABLE, let the ones under way end, then close.

        Those that take longer than `grace_seconds` are cancelled.
        """
        ends = time.monotonic() + grace_seconds
        await self.health.shut_down()
        await self.draining.drain(grace_seconds)
        await self.server.stop(max(0.0, ends - time.monotonic()))


async def host(
    address: str,
    services: Mapping[str, Register],
    *,
    serving: bool = True,
    interceptors: Sequence[aio.ServerInterceptor] = (),
    security: Security = OPEN,
) -> Hosted:
    """Start a server of `services` (full service name -> what registers it) on `address`.

    `address` is "host:port"; port 0 takes a free one. With `serving` false the
    health says NOT_SERVING until `set_serving` is called. `interceptors` see
    every call first, and the status that it ends with.

    Raises:
        InvalidRequest: `address` is malformed, not loopback and not protected, or
            taken; or the certificate is wrong.
    """
    name, port = parse_address(address)
    if security.tls is None or security.guard is None or not security.guard.needs_tokens:
        name, port = split_address(address)
    credentials = security.tls.credentials() if security.tls is not None else None
    draining = Draining()
    guards = [security.guard] if security.guard is not None else []
    server = aio.server(
        interceptors=[*interceptors, StatusInterceptor(), *guards, draining],
        options=list(SERVER_OPTIONS),
    )
    health = Health()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    for register in services.values():
        register(server)
    names = (*services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
    reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)
    try:
        if credentials is None:
            bound = server.add_insecure_port(f"{name}:{port}")
        else:
            bound = server.add_secure_port(f"{name}:{port}", credentials)
    except RuntimeError as error:
        raise InvalidRequest.of(
            "address", f"cannot listen on {address}: is the port taken? Choose another one"
        ) from error
    await server.start()
    hosted = Hosted(server, health, draining, name, bound)
    for service in ("", *services):
        await hosted.set_serving(service, serving)
    return hosted


def share_interpreter() -> None:
    """Let the threads of this process, which is a server's, take turns more often."""
    sys.setswitchinterval(SWITCH_SECONDS)


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of "host:port".

    Raises:
        InvalidRequest: malformed, or a host other than loopback: what is served in the clear and
            to everybody does not leave the machine.
    """
    name, port = parse_address(address)
    if not is_loopback(name):
        raise InvalidRequest.of(
            "address",
            f'"{name}" is not a loopback address; use 127.0.0.1 or localhost, '
            "or serve with TLS and tokens",
        )
    return name, port
