"""The log as a folder that others can read, and that can be read back: docs/events-format.md."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import polars as pl

from ranklift.events.admission import MAX_DWELL_MS
from ranklift.events.files import EventFiles, parquet_of
from ranklift.events.frames import frames_of, window
from ranklift.events.importing import Imported, ImportedDay, import_days
from ranklift.events.rows import SCHEMAS, Frame
from ranklift.events.snapshot import Snapshot, read_snapshot
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound

MARK = "ranklift-events.json"
FORMAT = 1
# Added to the log after its first release: an archive of that time lacks them.
_LATER = {"attributes", "forced", "interleaving", "exploration"}
_ROW = "row"
_FOLLOWING: tuple[Frame, ...] = ("pages", "clicks", "dwells", "shadows", "quarantine")


def write_archive(
    folder: Path,
    files: EventFiles,
    target: EventFiles,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Mapping[str, int]:
    """Write the pages shown in [`start`, `end`), and what followed from them, to an empty place.

    Returns the rows by frame. With a side given, of the documents only those go that these pages
    show. The mark is written last: without it there is no archive.

    Raises:
        AlreadyExists: something is there.
        OSError: no room.
    """
    refuse_if_occupied(target)
    counts: Counter[str] = Counter(dict.fromkeys(SCHEMAS, 0))
    cut = start is not None or end is not None
    shown: set[str] = set()
    days = sorted(by_date(read_snapshot(folder, files.url)).items())
    for date, day in days:
        frames = window(frames_of(files, day), start, end)
        if cut:
            ids = frames.pages.select(pl.col("documents").explode().drop_nulls().unique())
            shown.update(ids.collect()["documents"])
        for frame in _FOLLOWING:
            _write(target, frame, date, getattr(frames, frame), counts)
    for date, day in days:
        documents = frames_of(files, day).documents
        if cut:
            among = pl.Series(sorted(shown), dtype=pl.String)
            documents = documents.filter(pl.col("document_id").is_in(among.implode()))
        _write(target, "documents", date, documents, counts)
    mark = {
        "format": FORMAT,
        "start": start and start.isoformat(),
        "end": end and end.isoformat(),
        "rows": dict(counts),
    }
    target.write(MARK, memoryview(json.dumps(mark, indent=2).encode()))
    return counts


def read_archive(
    folder: Path, files: EventFiles, source: EventFiles, now: Callable[[], datetime]
) -> Imported:
    """Record what an archive holds, each event once; all of it is checked before anything is.

    Raises:
        NotFound: there is no archive, or half of one.
        InvalidRequest: a file or a row is wrong; nothing was recorded.
        OSError, sqlite3.OperationalError: no room; days before it are recorded.
    """
    _check_mark(source)
    for _ in _days(source):
        pass
    return import_days(folder, files, _days(source), now)


def refuse_if_occupied(target: EventFiles) -> None:
    """Refuse to write where something is.

    Raises:
        AlreadyExists: as it says.
    """
    try:
        target.read(MARK)
    except FileNotFoundError:
        if not target.sizes():
            return
    raise AlreadyExists.of("target", "there are events already; name an empty place")


def by_date(snapshot: Snapshot) -> Mapping[str, Snapshot]:
    """Return the parts of a snapshot by date."""
    dates = {file.date for file in snapshot.files} | {row.date for row in snapshot.rows}
    return {
        date: Snapshot(
            tuple(file for file in snapshot.files if file.date == date),
            tuple(row for row in snapshot.rows if row.date == date),
        )
        for date in dates
    }


def _write(
    target: EventFiles, frame: Frame, date: str, lazy: pl.LazyFrame, counts: Counter[str]
) -> None:
    rows = lazy.collect()
    if not rows.is_empty():
        target.write(f"{frame}/date={date}/part-0.parquet", parquet_of(rows))
        counts[frame] += rows.height


def _check_mark(source: EventFiles) -> None:
    try:
        mark = json.loads(source.read(MARK))
    except FileNotFoundError as error:
        raise NotFound.of(
            "source", f"no {MARK} there: no archive, or one whose export did not end"
        ) from error
    except ValueError as error:
        raise InvalidRequest.of(MARK, f"is not JSON: {error}") from error
    if not isinstance(mark, dict) or mark.get("format") != FORMAT:
        raise InvalidRequest.of(MARK, f"has another format; this ranklift reads format {FORMAT}")


def _days(source: EventFiles) -> Iterator[ImportedDay]:
    """Yield the days of an archive, checked.

    Raises:
        InvalidRequest: a file or a row is wrong.
    """
    paths: dict[str, list[tuple[Frame, str]]] = {}
    for path in sorted(source.sizes()):
        frame, folder, name = _parts(path)
        if name.endswith(".parquet"):
            paths.setdefault(folder.removeprefix("date="), []).append((frame, path))
    for date, some in sorted(paths.items()):
        frames: dict[Frame, pl.DataFrame] = {}
        origins: dict[Frame, list[tuple[str, int]]] = {}
        for frame, path in some:
            rows = _read(source, frame, path)
            frames[frame] = pl.concat([frames[frame], rows]) if frame in frames else rows
            origins.setdefault(frame, []).append((path, rows.height))
        _check_day(date, frames, origins)
        yield ImportedDay(date, frames)


def _parts(path: str) -> tuple[Frame, str, str]:
    parts = path.split("/")
    if len(parts) == 3 and parts[0] in SCHEMAS:
        return parts[0], parts[1], parts[2]  # type: ignore[return-value]
    raise InvalidRequest.of(path, "has no place in an archive; see docs/events-format.md")


def _read(source: EventFiles, frame: Frame, path: str) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(source.read(path))
    except pl.exceptions.PolarsError as error:
        raise InvalidRequest.of(path, f"is no Parquet file: {error}") from error
    schema = SCHEMAS[frame]
    for name, dtype in schema.items():
        if name not in rows.columns and name in _LATER:
            rows = rows.with_columns(pl.lit(None, dtype).alias(name))
        elif rows.schema.get(name) != dtype:
            raise InvalidRequest.of(
                path, f'column "{name}" is {rows.schema.get(name, "missing")}; must be {dtype}'
            )
    unknown = [name for name in rows.columns if name not in schema]
    if unknown:
        raise InvalidRequest.of(path, f"has columns that no event has: {', '.join(unknown)}")
    return rows.select(schema.names())


def _check_day(
    date: str,
    frames: Mapping[Frame, pl.DataFrame],
    origins: Mapping[Frame, list[tuple[str, int]]],
) -> None:
    """Hold a day against the rules of `admission.py`, and name the first row that breaks one."""

    def refuse(frame: Frame, rows: pl.Series, why: str) -> None:
        for number in rows.sort().head(1):
            for path, height in origins[frame]:
                if number < height:
                    raise InvalidRequest.of(f"{path} row {number + 1}", why)
                number -= height

    def check(frame: Frame, rule: pl.Expr, why: str) -> None:
        if frame in frames:
            rows = frames[frame].with_row_index(_ROW).filter(~rule.fill_null(value=False))
            refuse(frame, rows[_ROW], why)

    def named(*columns: str) -> pl.Expr:
        return pl.all_horizontal(pl.col(name).str.len_chars() > 0 for name in columns)

    check("pages", named("impression_id"), "has no impression_id")
    check(
        "pages",
        pl.col("page_time").dt.strftime("%Y-%m-%d") == date,
        f"has a page_time outside the date of its folder, {date}",
    )
    lengths = pl.col("documents").list.len(), pl.col("scores").list.len()
    check(
        "pages",
        (lengths[0] == lengths[1]) | (lengths[1] == 0),
        "has other than one score for each document, or none",
    )
    finite = pl.col("scores").list.eval(pl.element().is_finite()).list.all()
    check("pages", finite & pl.col("latency_ms").is_finite(), "has a number that is not finite")
    check("pages", _no_nulls("pages"), "has a null")
    following: tuple[Frame, ...] = ("clicks", "dwells", "quarantine")
    for frame in following:
        check(frame, named("event_id"), "has no event_id")
        check(frame, _no_nulls(frame), "has a null")
    check("documents", _no_nulls("documents"), "has a null")
    check("documents", named("document_id"), "has no document_id")
    check(
        "dwells",
        pl.col("dwell_ms").is_between(0, MAX_DWELL_MS),
        f"has a dwell_ms outside [0, {MAX_DWELL_MS}]",
    )
    pages = frames.get("pages", pl.DataFrame(schema=SCHEMAS["pages"]))
    shown = pages.select("impression_id", "documents").unique("impression_id")
    for frame in _FOLLOWING[1:]:
        if frame in frames:
            lost = frames[frame].with_row_index(_ROW).join(shown, on="impression_id", how="anti")
            refuse(frame, lost[_ROW], "names a page that is not among those of its date")
    if "clicks" in frames:
        clicks = frames["clicks"].with_row_index(_ROW).join(shown, on="impression_id")
        at = pl.col("documents").list.get(pl.col("position") - 1, null_on_oob=True)
        right = (pl.col("position") >= 1) & (at == pl.col("document_id"))
        wrong = clicks.filter(~right.fill_null(value=False))
        refuse("clicks", wrong[_ROW], "names a document that its page did not show there")
    if "dwells" in frames:
        clicked = frames.get("clicks", pl.DataFrame(schema=SCHEMAS["clicks"]))
        lost = (
            frames["dwells"]
            .with_row_index(_ROW)
            .join(clicked, left_on="click_event_id", right_on="event_id", how="anti")
        )
        refuse("dwells", lost[_ROW], "names a click that is not among those of its date")


def _no_nulls(frame: Frame) -> pl.Expr:
    return pl.all_horizontal(
        pl.col(name).is_not_null() for name in SCHEMAS[frame] if name not in _LATER
    )
