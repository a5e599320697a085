"""OpenSearch User Behavior Insights 1.3.0: `ubi_queries.jsonl` and `ubi_events.jsonl` in a folder.

A page is a query with the ids of its hits, a click an event "click" or
"click_through" that names the query and one of the hits. Other events are
passed over. UBI has no dwell. https://o19s.github.io/ubi
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ranklift.simulator.logs.search_log import (
    LoggedClick,
    LoggedPage,
    SearchLog,
    check_documents,
    log_of,
)
from ranklift.v1.errors import InvalidRequest

QUERIES, EVENTS = "ubi_queries.jsonl", "ubi_events.jsonl"
_CLICKS = ("click", "click_through")


def read_ubi(folder: Path) -> SearchLog:
    """Return the log of two files.

    Raises:
        InvalidRequest: a line is wrong; the field is "file:line".
    """
    queries: dict[str, tuple[str, str | None, str, datetime | None, list[str]]] = {}
    for at, line in _lines(folder / QUERIES):
        query_id = _text(at, line, "query_id")
        if query_id in queries:
            raise InvalidRequest.of(at, f'query_id "{query_id}" is there twice')
        hits = line.get("query_response_hit_ids")
        if not isinstance(hits, list):
            raise InvalidRequest.of(at, "query_response_hit_ids, must be the list of ids shown")
        documents = [str(hit) for hit in hits]
        check_documents(at, documents)
        user = line.get("client_id") or None
        session = line.get("session_id") or user or query_id
        time = _instant(at, line["timestamp"]) if line.get("timestamp") else None
        queries[query_id] = (str(session), user, _text(at, line, "user_query"), time, documents)
    clicks: dict[str, list[LoggedClick]] = {query_id: [] for query_id in queries}
    for at, line in _lines(folder / EVENTS):
        if line.get("action_name") not in _CLICKS:
            continue
        query_id = _text(at, line, "query_id")
        if query_id not in queries:
            raise InvalidRequest.of(at, f'query_id "{query_id}" is not in {QUERIES}')
        document = _object_id(at, line)
        shown = queries[query_id][4]
        if document not in shown:
            raise InvalidRequest.of(
                at, f'is a click on "{document}", which query "{query_id}" did not show'
            )
        time = _instant(at, line["timestamp"]) if line.get("timestamp") else None
        clicks[query_id].append(LoggedClick(shown.index(document), time))
    return log_of(_by_session(queries, clicks), str(folder))


def _by_session(
    queries: Mapping[str, tuple[str, str | None, str, datetime | None, list[str]]],
    clicks: Mapping[str, list[LoggedClick]],
) -> Iterator[LoggedPage]:
    start = datetime.min.replace(tzinfo=UTC)
    first: dict[str, datetime] = {}
    for session, _, _, time, _ in queries.values():
        first[session] = min(first.get(session, time or start), time or start)
    order = sorted(
        queries.items(), key=lambda one: (first[one[1][0]], one[1][0], one[1][3] or start)
    )
    for query_id, (session, user, query, time, documents) in order:
        found = clicks[query_id]
        timed = all(click.time is not None for click in found)
        if timed:
            found = sorted(found, key=lambda click: click.time or start)
        yield LoggedPage(session, query, tuple(documents), tuple(found), user, time, ordered=timed)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            at = f"{path}:{number}"
            try:
                value = json.loads(line)
            except ValueError as error:
                raise InvalidRequest.of(at, f"is no JSON: {error}") from error
            if not isinstance(value, dict):
                raise InvalidRequest.of(at, "must be an object in braces")
            yield at, value


def _text(at: str, line: Mapping[str, Any], name: str) -> str:
    value = line.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest.of(at, f"{name} is {value!r}, must be a text that is not empty")
    return value


def _object_id(at: str, line: Mapping[str, Any]) -> str:
    value: Any = line
    for name in ("event_attributes", "object", "object_id"):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        raise InvalidRequest.of(
            at, "is a click without event_attributes.object.object_id, the document"
        )
    return str(value)


def _instant(at: str, value: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise InvalidRequest.of(at, f'timestamp "{value}", must be ISO 8601') from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
