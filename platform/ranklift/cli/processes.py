"""Child processes of a command: started, awaited until healthy, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2

from ranklift.v1.credentials import IN_THE_CLEAR, Credentials
from ranklift.v1.errors import Unreachable

STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Child:
    """A `ranklift` process, and where it writes what it says."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self, lines: int = 3) -> str:
        """The end of its log, for an error message."""
        text = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(text[-lines:]) or "it said nothing"

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()


class Start(Protocol):
    """Starts `ranklift ARGUMENTS` as a child; what it says goes to a log named after it."""

    def __call__(self, name: str, *arguments: str) -> Child: ...


@contextlib.contextmanager
def children(log_folder: Path, environment: Mapping[str, str]) -> Iterator[Start]:
    """Give a starter of child processes, and stop them all, newest first, at the end.

    `environment` comes on top of this process's own.
    """
    log_folder.mkdir(parents=True, exist_ok=True)
    started: list[Child] = []

    def start(name: str, *arguments: str) -> Child:
        path = log_folder / f"{name}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ranklift.cli", *arguments],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        child = Child(name, process, path)
        started.append(child)
        return child

    try:
        yield start
    finally:
        _stop(started)


def _stop(started: Sequence[Child]) -> None:
    for child in reversed(started):
        child.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for child in reversed(started):
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()


def free_address() -> str:
    """Return a loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def wait_until_serving(
    child: Child,
    address: str,
    timeout_seconds: float = 90.0,
    credentials: Credentials = IN_THE_CLEAR,
) -> None:
    """Return when the server at `address` says that it is healthy.

    Raises:
        Unreachable: the process ended, or was not healthy in time.
    """
    deadline = time.monotonic() + timeout_seconds
    with credentials.channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        while time.monotonic() < deadline:
            if child.process.poll() is not None:
                break
            with contextlib.suppress(grpc.RpcError):
                reply = check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=0.5)
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            # NOT_SERVING answers at once: a server that warms up needs its cores for itself.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(0.1)
    raise Unreachable.of(
        "",
        f"{child.name} at {address} did not start: {child.last_words()} (all of it: {child.log})",
    )
