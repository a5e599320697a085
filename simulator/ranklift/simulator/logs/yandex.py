"""The format of Yandex' relevance-prediction challenge: an action a line, tab-separated.

    session   time passed   Q   query   region   url   url ...
    session   time passed   C   url

Clicks come in order and belong to the last page of the session that shows the
url. The unit of time was not disclosed, so there is no dwell; there is no user.
Serdyukov, Dupret and Craswell, "WSCD2012: Workshop on web search click data
2012", WSDM 2012.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ranklift.simulator.logs.search_log import (
    LoggedClick,
    LoggedPage,
    SearchLog,
    check_documents,
    log_of,
)
from ranklift.v1.errors import InvalidRequest


@dataclass(slots=True)
class _Page:
    session: str
    query: str
    documents: list[str]
    clicks: list[LoggedClick] = field(default_factory=list)


def read_yandex(path: Path) -> SearchLog:
    """Return the log in a file.

    Raises:
        InvalidRequest: a line is wrong; the field is "file:line".
    """
    return log_of(_pages(path), str(path))


def _pages(path: Path) -> Iterator[LoggedPage]:
    session: list[_Page] = []
    ended: set[str] = set()
    last_time = 0
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            at = f"{path}:{number}"
            fields = line.rstrip("\n").split("\t")
            if len(fields) < 4 or fields[2] not in ("Q", "C"):
                raise InvalidRequest.of(
                    at,
                    "is neither a query (session, time, Q, query, region, urls) nor a click "
                    "(session, time, C, url), with tabs between",
                )
            name, time = fields[0], _time(at, fields[1])
            if not session or name != session[0].session:
                if name in ended:
                    raise InvalidRequest.of(
                        at, f'session "{name}" goes on after another one; keep its lines together'
                    )
                yield from _closed(session)
                session, last_time = [], 0
                ended.add(name)
            if time < last_time:
                raise InvalidRequest.of(at, f"time {time} is before {last_time}, the line above")
            last_time = time
            if fields[2] == "Q":
                session.append(_query(at, fields))
            else:
                _click(at, fields, session)
    yield from _closed(session)


def _time(at: str, text: str) -> int:
    if not text.isdigit():
        raise InvalidRequest.of(at, f'time "{text}", must be a whole number')
    return int(text)


def _query(at: str, fields: list[str]) -> _Page:
    documents = fields[5:]
    check_documents(at, documents)
    return _Page(fields[0], fields[3], documents)


def _click(at: str, fields: list[str], session: list[_Page]) -> None:
    if len(fields) != 4:
        raise InvalidRequest.of(at, f"is a click of {len(fields)} fields, must have 4")
    for page in reversed(session):
        if fields[3] in page.documents:
            page.clicks.append(LoggedClick(page.documents.index(fields[3])))
            return
    raise InvalidRequest.of(
        at, f'is a click on "{fields[3]}", which session "{fields[0]}" was not shown before'
    )


def _closed(session: list[_Page]) -> Iterator[LoggedPage]:
    for page in session:
        yield LoggedPage(page.session, page.query, tuple(page.documents), tuple(page.clicks))
