"""Records pages, clicks and dwells until it is done or killed, and tells what was acknowledged.

    python recorder.py HOME PREFIX ROUNDS

Prints, for each call that returned, a line of JSON: the ids that the call made durable, as
{"pages": [...], "clicks": [...], "dwells": [...], "duplicates": n}. It exports all the time. The
pages and clicks called "shared-<n>" come from every recorder.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ranklift.events.log import EventLog
from ranklift.events.pending import PendingClick, PendingDwell
from ranklift.events.values import Document, Page

T0 = datetime(2025, 3, 1, 23, tzinfo=UTC)
PAGES_PER_ROUND = 3
CALLERS = 4


def tell(pages: list[str], clicks: list[str], dwells: list[str], duplicates: int) -> None:
    """Write one line at once: a line is there or not, also when the process is killed."""
    line = json.dumps(
        {"pages": pages, "clicks": clicks, "dwells": dwells, "duplicates": duplicates}
    )
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def page(impression_id: str, number: int) -> tuple[Page, list[Document]]:
    shown = tuple(f"d{number % 7 + rank}" for rank in range(5))
    recorded = Page(
        impression_id=impression_id,
        page_time=T0 + timedelta(minutes=number),
        user_id=f"u{number % 11}",
        session_id="s",
        query="wing flutter",
        documents=shown,
        scores=tuple(-float(rank) for rank in range(5)),
        model="student",
        version="1",
        digest="sha256:0",
        assignments=(),
        fallback_reason="",
        latency_ms=1.0,
    )
    return recorded, [Document(document_id, "title", "text") for document_id in shown]


async def call(log: EventLog, prefix: str, number: int) -> None:
    ids = [f"{prefix}-{number}-{i}" for i in range(PAGES_PER_ROUND)] + [f"shared-{number}"]
    for impression_id in ids:
        recorded, documents = page(impression_id, number)
        await log.record_page(recorded, documents)
        tell([impression_id], [], [], 0)
    clicks = [PendingClick(f"c-{i}", i, f"d{number % 7 + 2}", T0) for i in ids]
    dwells = [PendingDwell(f"w-{i}", f"c-{i}", number) for i in ids[:-1]]
    outcome = await log.record_events([*clicks, *dwells])
    tell([], [c.event_id for c in clicks], [d.event_id for d in dwells], outcome.duplicates)


async def main(home: Path, prefix: str, rounds: int) -> None:
    # A few dozen events between exports, so that a kill at any moment has an export to hit.
    async with await EventLog.open(home, export_events=60) as log:
        for first in range(0, rounds, CALLERS):
            await asyncio.gather(*(call(log, prefix, first + i) for i in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
