"""The compact log as Parquet files by user range: written by threads, machines or Spark tasks.

    FOLDER/world.json          name, seed and arms, and a fingerprint of everything else
    FOLDER/queries.parquet     query, query_id, text
    FOLDER/documents.parquet   document, document_id
    FOLDER/rankings.parquet    arm, query, position (from 1), document
    FOLDER/pages/users-0000000000-0000131072.parquet    users 0 to 131071
    FOLDER/clicks/users-0000000000-0000131072.parquet

The columns of pages and clicks are those of `compact`. A file is there whole or not at all, and
files of all users, wherever they were made, are the log of one run over all of them.
"""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ranklift.simulator.compact import CompactLog, Script, compact_log, user_ranges
from ranklift.v1.errors import InvalidRequest

USERS_PER_FILE = 1 << 17
_KNOWN_USERS = 256  # whose log is part of the fingerprint
_NAME = re.compile(r"users-(\d+)-(\d+)\.parquet")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written; `a + b` is both."""

    files: int = 0  # of pages; as many of clicks
    pages: int = 0
    clicks: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(
            self.files + other.files, self.pages + other.pages, self.clicks + other.clicks
        )


def write_log(
    script: Script,
    folder: Path,
    first: int,
    end: int,
    *,
    workers: int = 1,
    users_per_file: int = USERS_PER_FILE,
) -> Written:
    """Write what the users from `first` up to `end` (excluded) do, a file at a time in each thread.

    Raises:
        InvalidRequest: there are no such users, or the folder holds another world or some of
            these users in files of another cut.
    """
    ranges = user_ranges(script.world, first, end, users_per_file)
    prepare(script, folder, ranges)
    with ThreadPoolExecutor(workers) as threads:
        return sum(threads.map(lambda r: write_file(script, folder, *r), ranges), Written())


def write_with_spark(
    spark_context: Any,
    script: Script,
    folder: Path,
    first: int,
    end: int,
    *,
    users_per_file: int = USERS_PER_FILE,
) -> Written:
    """Write the same files as `write_log`, each in a Spark task.

    `spark_context` is a `pyspark.SparkContext`; its workers have ranklift installed and see the
    folder under the same path.

    Raises:
        InvalidRequest: as `write_log`.
    """
    ranges = user_ranges(script.world, first, end, users_per_file)
    prepare(script, folder, ranges)
    everywhere = spark_context.broadcast(script)
    tasks = spark_context.parallelize(ranges, len(ranges))
    written = tasks.map(lambda r: write_file(everywhere.value, folder, *r)).collect()
    return sum(written, Written())


def prepare(script: Script, folder: Path, ranges: list[tuple[int, int]]) -> None:
    """Make the folder ready for files of these users, with the look-up tables.

    Raises:
        InvalidRequest: the folder holds another world, or some of these users in files of another
            cut: they would be there twice.
    """
    about = {
        "name": script.world.name,
        "seed": script.world.seed,
        "arms": list(script.arms),
        "fingerprint": _fingerprint(script),
    }
    of_world = folder / "world.json"
    if of_world.exists():
        if json.loads(of_world.read_text(encoding="utf-8")) != about:
            raise InvalidRequest.of(
                "folder", f'"{folder}" holds the log of another world; give a folder of its own'
            )
        _refuse_other_cuts(folder, ranges)
    for table in ("pages", "clicks"):
        (folder / table).mkdir(parents=True, exist_ok=True)
    for name, frame in _look_up_tables(script).items():
        _write(frame, folder / f"{name}.parquet")
    _replace(of_world, lambda path: path.write_text(json.dumps(about, indent=1), encoding="utf-8"))


def write_file(script: Script, folder: Path, first: int, end: int) -> Written:
    """Write the pages and clicks of these users; the folder was prepared for them."""
    log = compact_log(script, first, end)
    name = f"users-{first:010d}-{end:010d}.parquet"
    _write(log.clicks, folder / "clicks" / name)
    _write(log.pages, folder / "pages" / name)  # last: pages without their clicks would mislead
    return Written(1, len(log.pages), len(log.clicks))


def read_log(folder: Path) -> CompactLog:
    """Return the log of all files of a folder, by user and time."""
    names = sorted(path.name for path in (folder / "pages").glob("users-*.parquet"))
    return CompactLog(
        *(
            pl.concat([pl.read_parquet(folder / table / name) for name in names])
            for table in ("pages", "clicks")
        )
    )


def _refuse_other_cuts(folder: Path, ranges: list[tuple[int, int]]) -> None:
    for path in sorted((folder / "pages").glob("users-*.parquet")):
        found = _NAME.fullmatch(path.name)
        if found is None:
            continue
        first, end = int(found[1]), int(found[2])
        if (first, end) not in ranges and any(a < end and first < b for a, b in ranges):
            raise InvalidRequest.of(
                "users",
                f'"{path}" holds users {first}:{end}, cut in another way; they would be there '
                "twice. Give other users or another folder, or remove that file",
            )


def _look_up_tables(script: Script) -> dict[str, pl.DataFrame]:
    world = script.world
    queries = pl.DataFrame(
        {
            "query_id": world.query_ids,
            "text": [world.collection.queries[query_id] for query_id in world.query_ids],
        }
    ).with_row_index("query")
    documents = pl.DataFrame({"document_id": script.documents}).with_row_index("document")
    rank, column = np.isfinite(script.shown.log_odds).nonzero()
    rankings = pl.DataFrame(
        {
            "arm": pl.Series(script.arms, dtype=pl.Enum(script.arms)).gather(
                pl.Series(column // len(world.query_ids))
            ),
            "query": (column % len(world.query_ids)).astype(np.uint32),
            "position": (rank + 1).astype(np.uint8),
            "document": script.document[rank, column],
        }
    ).sort("arm", "query", "position")
    return {"queries": queries, "documents": documents, "rankings": rankings}


def _fingerprint(script: Script) -> str:
    """Return a digest of what is shown, and of what some users do: whatever decides that."""
    digest = sha256()
    for array in (script.shown.document, script.shown.log_odds, script.shown.satisfaction):
        digest.update(np.ascontiguousarray(array).tobytes())
    log = compact_log(script, 0, _KNOWN_USERS)
    for column in (*log.pages.get_columns(), *log.clicks.get_columns()):
        digest.update(column.to_physical().to_numpy().tobytes())
    return digest.hexdigest()


def _write(frame: pl.DataFrame, path: Path) -> None:
    # A higher level takes twice as long and saves one part in a hundred.
    _replace(path, lambda made: frame.write_parquet(made, compression="zstd", compression_level=1))


def _replace(path: Path, write: Any) -> None:
    """Have a file written under another name, and take the place of `path` once it is whole."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    write(made)
    made.replace(path)
