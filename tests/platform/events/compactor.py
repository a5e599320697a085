"""Records in eight exports, merges the files and dies at a named point, as by kill -9.

python compactor.py HOME PREFIX writing|written|renamed|swapped|deleting
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from ranklift.events import compaction
from ranklift.events.files import LocalFiles
from ranklift.events.log import EventLog
from ranklift.events.manifest import Manifest
from ranklift.events.pending import PendingClick
from ranklift.events.values import Document, Page


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_file(frame: pl.DataFrame, file: BinaryIO, **_: Any) -> None:
    file.write(b"PAR1 and then")


def then_die(function: Callable[..., Any]) -> Callable[..., Any]:
    def both(*arguments: Any, **named: Any) -> None:
        function(*arguments, **named)
        die()

    return both


async def record(log: EventLog, impression_id: str) -> None:
    page = Page(
        impression_id=impression_id,
        page_time=datetime(2025, 3, 1, tzinfo=UTC),
        user_id="u",
        session_id="s",
        query="wing flutter",
        documents=("d1",),
        scores=(1.0,),
        model="student",
        version="1",
        digest="sha256:0",
        assignments=(),
        fallback_reason="",
        latency_ms=1.0,
    )
    await log.record_page(page, [Document("d1", "title", "text")])
    click = PendingClick(f"c-{impression_id}", impression_id, "d1", page.page_time)
    await log.record_events([click])


def plant(point: str) -> None:
    match point:
        case "writing":
            pl.DataFrame.write_parquet = half_a_file  # type: ignore[method-assign,assignment]
            os.fsync = die
        case "written":
            Path.replace = die  # type: ignore[method-assign,assignment]
        case "renamed":
            Manifest.swap = die  # type: ignore[method-assign]
        case "swapped":
            compaction._swap = then_die(compaction._swap)
        case "deleting":
            compaction.GRACE *= 0
            LocalFiles.delete = then_die(LocalFiles.delete)  # type: ignore[method-assign]


async def main(home: Path, prefix: str, point: str) -> None:
    async with await EventLog.open(home) as log:
        for number in range(8):
            await record(log, f"{prefix}{number}")
            await log.export()
        plant(point)
        with contextlib.suppress(OSError):
            await log.tidy()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
