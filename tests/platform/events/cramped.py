"""Records pages until no file may grow any more, tries to export and to merge, and gets room again.

    python cramped.py HOME

Prints the ids of the pages that were acknowledged. The system refuses to let a file grow beyond
RLIMIT_FSIZE, for the journal as for Parquet.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

from ranklift.events.compaction import FANOUT
from ranklift.events.files import LocalFiles
from ranklift.events.journal import FOLDER_NAME
from ranklift.events.log import EventLog
from ranklift.events.values import Page
from ranklift.v1.errors import Overloaded

ROOM = 2_000_000


async def record(log: EventLog, number: int, rng: random.Random) -> None:
    page = Page(
        impression_id=f"p{number}",
        page_time=datetime(2025, 3, 1, tzinfo=UTC),
        user_id="u",
        session_id="s",
        query=rng.randbytes(4_000).hex(),  # no compression makes room for it
        documents=(),
        scores=(),
        model="student",
        version="1",
        digest="sha256:0",
        assignments=(),
        fallback_reason="",
        latency_ms=1.0,
    )
    await log.record_page(page, [])
    sys.stdout.write(f"{page.impression_id}\n")


async def main(home: Path) -> None:
    rng = random.Random(7)
    number = 0
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with await EventLog.open(home) as log:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, most))
        for _ in range(3):
            try:
                while True:
                    await record(log, number, rng)
                    number += 1
            except Overloaded:
                number += 1  # refused for good: nobody sends this page again
        # First no room for the Parquet file, then none for the journal to say that it is valid.
        for room, error in ((ROOM // 100, OSError), (ROOM, sqlite3.OperationalError)):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
            try:
                await log.export()
            except error:
                continue
            raise AssertionError(f"an export found room in {room} bytes")
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        await record(log, number, rng)
        await log.export()
        await record(log, number + 1, rng)
        await merge_without_room(log, LocalFiles(home / FOLDER_NAME), number + 2, rng, most)


async def merge_without_room(
    log: EventLog, files: LocalFiles, number: int, rng: random.Random, most: int
) -> None:
    for export in range(FANOUT):
        await record(log, number + export, rng)
        await log.export()
    before = files.sizes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM // 100, most))
    try:
        await log.tidy()
    except OSError:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    else:
        raise AssertionError("a merge found room where there is none")
    if files.sizes() != before:
        raise AssertionError("a merge that failed left something behind")
    await log.tidy()
    if len(files.sizes()) != len(before) + 1:
        raise AssertionError("with room again, nothing was merged")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
