"""What the chaos benchmark kills: processes that record, serve, export and merge without end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from ranklift.events.log import EventLog
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.service import EventServicer
from ranklift.events.values import Page
from ranklift.v1 import events_pb2_grpc
from ranklift.v1.hosting import host

EXPORT_EVENTS = 2_000  # often: a kill at any moment has an export to hit
T0 = datetime(2025, 3, 1, 23, tzinfo=UTC)


def run(kind: str, home: Path, prefix: str, address: str, tell: Connection) -> None:
    """Work as a "writer", "gateway" or "compactor"; `tell` is sent the ids that are on disk.

    `prefix` is in no other worker's ids. The gateway listens on `address`.
    """
    asyncio.run(_WORK[kind](home, prefix, address, tell))


def _tell(connection: Connection, frame: str, ids: list[str]) -> None:
    connection.send_bytes(json.dumps((frame, ids)).encode())


async def _write(home: Path, prefix: str, address: str, tell: Connection) -> None:
    """Record pages, clicks and dwells of one's own, and some that every writer records."""
    async with await EventLog.open(home, export_events=EXPORT_EVENTS) as log:

        async def calls(which: int) -> None:
            for number in range(1_000_000):
                ids = [f"{prefix}-{which}-{number}-{i}" for i in range(3)] + [f"shared-{number}"]
                await asyncio.gather(*(record_page(log, one, number) for one in ids))
                _tell(tell, "pages", ids)
                clicks = [PendingClick(f"c-{i}", i, "d1", T0) for i in ids]
                dwells = [PendingDwell(f"w-{i}", f"c-{i}", number) for i in ids]
                await log.record_events([*clicks, *dwells])
                _tell(tell, "clicks", [click.event_id for click in clicks])
                _tell(tell, "dwells", [dwell.event_id for dwell in dwells])

        await asyncio.gather(*(calls(which) for which in range(4)))


async def _serve(home: Path, prefix: str, address: str, tell: Connection) -> None:
    """Take streams on a socket, and record pages as the gateway does."""
    async with await EventLog.open(home, export_events=EXPORT_EVENTS) as log:
        hosted = await host(  # kept: a server that nobody has is a server that ends
            address,
            {
                "ranklift.v1.EventService": partial(
                    events_pb2_grpc.add_EventServiceServicer_to_server, EventServicer(log)
                )
            },
        )
        for number in range(1_000_000):
            await record_page(log, f"{prefix}-{number}", number)
            _tell(tell, "pages", [f"{prefix}-{number}"])
        await hosted.stop()


async def _compact(home: Path, prefix: str, address: str, tell: Connection) -> None:
    """Move rows to files, and merge files, all the time."""
    async with await EventLog.open(home) as log:
        while True:
            await log.export()
            await log.tidy()


async def record_page(log: EventLog, impression_id: str, number: int) -> None:
    """Record a page of the documents d1 and d2, and wait for the disk."""
    page = Page(
        impression_id=impression_id,
        page_time=T0 + timedelta(minutes=number % 120),  # two dates
        user_id=f"u{number % 11}",
        session_id="s",
        query="wing flutter",
        documents=("d1", "d2"),
        scores=(2.0, 1.0),
        model="student",
        version="1",
        digest="sha256:0",
        assignments=(),
        fallback_reason="",
        latency_ms=1.0,
    )
    texts = [(f"d{1 + number % 3}", "title", "text")]
    recording = log.submit_page(lambda: (page, texts), documents=1, size=500, urgent=False)
    await asyncio.wrap_future(recording)


_WORK: Mapping[str, Callable[[Path, str, str, Connection], Coroutine[None, None, None]]] = {
    "writer": _write,
    "gateway": _serve,
    "compactor": _compact,
}
