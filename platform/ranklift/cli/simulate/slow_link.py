"""A slow way to a server: a TCP relay that holds back every answer for some time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 65_536


@asynccontextmanager
async def slow_link(address: str, to: str, delay_seconds: float) -> AsyncIterator[None]:
    """Listen on `address` and relay to the server at `to`; its bytes come `delay_seconds` late.

    Bytes that follow each other closely wait together, not one after the other.
    """
    host, _, port = to.rpartition(":")
    here, _, own_port = address.rpartition(":")

    relays: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays.add(asyncio.create_task(relay(reader, writer)))

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _closing(writer):
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(host, int(port))
                async with _closing(far_writer):
                    await asyncio.gather(
                        _pump(reader, far_writer, 0.0), _pump(far_reader, writer, delay_seconds)
                    )

    server = await asyncio.start_server(accept, here, int(own_port))
    async with server:
        yield
        server.close()
        for each in relays:
            each.cancel()
        await asyncio.gather(*relays, return_exceptions=True)


@asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_seconds: float
) -> None:
    """Copy a stream, each chunk `delay_seconds` after it came."""
    loop = asyncio.get_running_loop()

    def write(chunk: bytes) -> None:
        if not writer.is_closing():
            writer.write(chunk)

    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            loop.call_later(delay_seconds, write, chunk)
    loop.call_later(delay_seconds, writer.close)
