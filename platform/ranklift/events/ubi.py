"""Pages and clicks as OpenSearch's User Behavior Insights has them, both ways.

UBI 1.3.0 (https://o19s.github.io/ubi): a page is a query with the ids of its hits, a click an event
that names the query. docs/events-format.md has the mapping field by field. What the other side has
no place for is left out and counted.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl

from ranklift.events.files import EventFiles
from ranklift.events.frames import frames_of, window
from ranklift.events.importing import Imported, ImportedDay, import_days
from ranklift.events.rows import SCHEMAS, Frame
from ranklift.events.service import MAX_EVENT_ID
from ranklift.events.snapshot import read_snapshot
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound

QUERIES = "ubi_queries.jsonl"
EVENTS = "ubi_events.jsonl"
APPLICATION = "ranklift"
CLICKS = {"click", "click_through"}
_ID_FIELD = "document_id"


@dataclass(frozen=True, slots=True)
class Mapped:
    """How many queries and events were written or read, and what had no place, by its name."""

    queries: int
    events: int
    left_out: Mapping[str, int]


def write_ubi(
    folder: Path,
    files: EventFiles,
    target: EventFiles,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Mapped:
    """Write the pages shown in [`start`, `end`) and their clicks; all of it passes the memory.

    Raises:
        AlreadyExists: one of the two files is there.
        OSError: no room.
    """
    for name in (QUERIES, EVENTS):
        try:
            target.read(name)
        except FileNotFoundError:
            continue
        raise AlreadyExists.of("target", f"there is a {name} already; name another place")
    frames = window(frames_of(files, read_snapshot(folder, files.url)), start, end)
    pages = frames.pages.sort("page_time", "impression_id").collect()
    clicks = frames.clicks.sort("click_time", "event_id").collect()
    of_page = {page["impression_id"]: page for page in pages.iter_rows(named=True)}
    _write_lines(target, QUERIES, (_query_of(page) for page in of_page.values()))
    _write_lines(
        target,
        EVENTS,
        (_event_of(one, of_page[one["impression_id"]]) for one in clicks.iter_rows(named=True)),
    )
    left_out = {
        "dwells": frames.dwells.select(pl.len()).collect().item(),
        "assignments": int(pages["assignments"].list.len().sum()),
        "forced assignments": int(pages["forced"].list.len().sum()),
        "interleaved pages": pages["interleaving"].count(),
        "explored pages": pages["exploration"].count(),
        "shadow scores": frames.shadows.select(pl.len()).collect().item(),
        "lists of scores": pages["scores"].list.len().gt(0).sum(),
    }
    return Mapped(pages.height, clicks.height, {k: v for k, v in left_out.items() if v})


def read_ubi(
    folder: Path, files: EventFiles, source: EventFiles, now: Callable[[], datetime]
) -> tuple[Mapped, Imported]:
    """Record the queries and clicks of the two files, each once.

    Raises:
        NotFound: one of the files is not there.
        InvalidRequest: a line is wrong; nothing was recorded.
        OSError, sqlite3.OperationalError: no room; days before it are recorded.
    """
    pages: dict[str, dict[str, Any]] = {}
    queries = 0
    for at, query in _lines(source, QUERIES):
        page = _page_of(at, query)
        pages.setdefault(page["impression_id"], page)
        queries += 1
    clicks: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    events = 0
    for at, event in _lines(source, EVENTS):
        events += 1
        click = _click_of(at, event, pages)
        if isinstance(click, str):
            left_out[click] += 1
            continue
        clicks.append(click)
        page = pages[click["impression_id"]]
        page["session_id"] = page["session_id"] or _text(at, event, "session_id", default="")
    imported = import_days(folder, files, _days(pages.values(), clicks), now)
    return Mapped(queries, events, left_out), imported


def _query_of(page: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {one["name"]: one["value"] for one in page["attributes"] or ()}
    return {
        "application": APPLICATION,
        "query_id": page["impression_id"],
        "query_response_id": page["impression_id"],
        "client_id": page["user_id"] or page["session_id"],
        "user_query": page["query"],
        "timestamp": _stamp(page["page_time"]),
        "object_id_field": _ID_FIELD,
        "query_response_hit_ids": page["documents"],
        "query_attributes": {
            "user_id": page["user_id"],
            "session_id": page["session_id"],
            "model": page["model"],
            "version": page["version"],
            "attributes": attributes,
        },
    }


def _event_of(click: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "application": APPLICATION,
        "action_name": "click",
        "query_id": click["impression_id"],
        "session_id": page["session_id"],
        "client_id": page["user_id"] or page["session_id"],
        "user_id": page["user_id"],
        "timestamp": _stamp(click["click_time"]),
        "event_attributes": {
            "event_id": click["event_id"],
            "object": {"object_id": click["document_id"], "object_id_field": _ID_FIELD},
            "position": {"ordinal": click["position"]},
        },
    }


def _page_of(at: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the page of a query; what UBI does not tell of it is empty or null."""
    given = _object(at, query, "query_attributes")
    hits = query.get("query_response_hit_ids") or []
    if not isinstance(hits, list) or not all(isinstance(hit, str | int) for hit in hits):
        raise InvalidRequest.of(at, "query_response_hit_ids is no list of ids")
    named = given.get("attributes")
    page: dict[str, Any] = dict.fromkeys(SCHEMAS["pages"])
    return page | {
        "impression_id": _text(at, query, "query_id"),
        "page_time": _instant(at, query),
        "user_id": _extra(given, "user_id") or _text(at, query, "client_id", default=""),
        "session_id": _extra(given, "session_id"),
        "query": _text(at, query, "user_query", default=""),
        "documents": [str(hit) for hit in hits],
        "scores": [],
        "model": _extra(given, "model"),
        "version": _extra(given, "version"),
        "digest": "",
        "assignments": [],
        "fallback_reason": "",
        "attributes": [
            {"name": name, "value": str(value)}
            for name, value in (named.items() if isinstance(named, dict) else ())
        ],
        "forced": [],
    }


def _click_of(
    at: str, event: Mapping[str, Any], pages: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | str:
    """Return the click of an event, or what to count it as when it is none of a known page."""
    action, time = _text(at, event, "action_name"), _instant(at, event)
    if action not in CLICKS:
        return f'events "{action}"'
    attributes = _object(at, event, "event_attributes")
    document = _object(at, attributes, "object").get("object_id")
    page = pages.get(_text(at, event, "query_id", default=""))
    if page is None:
        return "clicks on no query of the file"
    if str(document) not in page["documents"]:
        return "clicks on nothing that the query returned"
    event_id = _text(at, attributes, "event_id", default="")
    if not event_id:
        # UBI events have no id: the same line is the same event.
        content = json.dumps(event, sort_keys=True, ensure_ascii=False).encode()
        event_id = f"ubi-{blake2b(content, digest_size=16).hexdigest()}"
    if len(event_id) > MAX_EVENT_ID:
        raise InvalidRequest.of(at, f"event_id has more than {MAX_EVENT_ID} characters")
    return {
        "event_id": event_id,
        "impression_id": page["impression_id"],
        "document_id": str(document),
        "position": page["documents"].index(str(document)) + 1,
        "click_time": time,
    }


def _days(
    pages: Iterable[Mapping[str, Any]], clicks: Iterable[Mapping[str, Any]]
) -> Iterator[ImportedDay]:
    by_date: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    date_of: dict[str, str] = {}
    for page in pages:
        date = page["page_time"].date().isoformat()
        by_date[date].append(page)
        date_of[page["impression_id"]] = date
    clicks_of: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for click in clicks:
        clicks_of[date_of[click["impression_id"]]].append(click)
    for date, some in sorted(by_date.items()):
        frames: dict[Frame, pl.DataFrame] = {
            "pages": pl.DataFrame(some, schema=SCHEMAS["pages"]),
            "clicks": pl.DataFrame(clicks_of[date], schema=SCHEMAS["clicks"]),
        }
        yield ImportedDay(date, frames)


def _write_lines(target: EventFiles, name: str, values: Iterator[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    target.write(name, memoryview(text.encode()))


def _lines(source: EventFiles, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each line of a file as JSON, with what to call it."""
    try:
        content = source.read(name)
    except FileNotFoundError as error:
        raise NotFound.of("source", f"there is no {name}") from error
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        at = f"{name} line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InvalidRequest.of(at, f"is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise InvalidRequest.of(at, "is no JSON object")
        yield at, value


def _text(at: str, value: Mapping[str, Any], name: str, default: str | None = None) -> str:
    found = value.get(name)
    if found is None and default is not None:
        return default
    if not isinstance(found, str) or not (found or default is not None):
        raise InvalidRequest.of(at, f"{name} is {json.dumps(found)}; must be a text")
    return found


def _extra(value: Mapping[str, Any], name: str) -> str:
    """Return a text beyond the specification; others may keep something else under the name."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _object(at: str, value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidRequest.of(at, f"{name} is no JSON object")
    return found


def _instant(at: str, value: Mapping[str, Any]) -> datetime:
    text = _text(at, value, "timestamp")
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest.of(at, f'timestamp "{text}" is not ISO 8601') from error
    return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
