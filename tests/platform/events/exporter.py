"""Records a little, then exports and dies at a named point of the export, as by kill -9.

python exporter.py HOME PREFIX writing|written|renamed|published
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from ranklift.events.journal import Journal
from ranklift.events.log import EventLog
from ranklift.events.pending import PendingClick
from ranklift.events.values import Document, Page


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_file(frame: pl.DataFrame, file: BinaryIO, **_: Any) -> None:
    file.write(b"PAR1 and then")


def then_die(function: Callable[..., Any]) -> Callable[..., Any]:
    def both(*arguments: Any) -> None:
        function(*arguments)
        die()

    return both


async def main(home: Path, prefix: str, point: str) -> None:
    async with await EventLog.open(home) as log:
        for number in range(5):
            page = Page(
                impression_id=f"{prefix}{number}",
                page_time=datetime(2025, 3, 1 + number, tzinfo=UTC),
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
            click = PendingClick(
                f"c-{page.impression_id}", page.impression_id, "d1", page.page_time
            )
            await log.record_events([click])
        match point:
            case "writing":
                pl.DataFrame.write_parquet = half_a_file  # type: ignore[method-assign,assignment]
                os.fsync = die
            case "written":
                Path.replace = die  # type: ignore[method-assign,assignment]
            case "renamed":
                Journal.publish = die  # type: ignore[method-assign]
            case "published":
                Journal.publish = then_die(Journal.publish)  # type: ignore[method-assign]
        await log.export()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
