"""The session format of TianGong-ST: a page a line, tab-separated, lists as JSON.

    session   query   [document, ...]   [vertical, ...]   [0 or 1, ...]

The pages of a session are consecutive lines, in order. There is no time, no
dwell, no user and no order of clicks. Chen, Mao, Liu, Zhang and Ma,
"TianGong-ST: A new dataset with large-scale refined real-world web search
sessions", CIKM 2019; the columns are those of the click models published on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ranklift.simulator.logs.search_log import (
    LoggedClick,
    LoggedPage,
    SearchLog,
    check_documents,
    log_of,
)
from ranklift.v1.errors import InvalidRequest

COLUMNS = ("session", "query", "documents", "verticals", "clicks")


def read_tiangong(path: Path) -> SearchLog:
    """Return the log in a file.

    Raises:
        InvalidRequest: a line is wrong; the field is "file:line".
    """
    return log_of(_pages(path), str(path))


def _pages(path: Path) -> Iterator[LoggedPage]:
    ended: set[str] = set()
    last = None
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            at = f"{path}:{number}"
            page = _page(at, line.rstrip("\n"))
            if page.session != last and page.session in ended:
                raise InvalidRequest.of(
                    at,
                    f'session "{page.session}" goes on after another one; '
                    "keep the pages of a session together",
                )
            last = page.session
            ended.add(last)
            yield page


def _page(at: str, line: str) -> LoggedPage:
    fields = line.split("\t")
    if len(fields) != len(COLUMNS):
        raise InvalidRequest.of(
            at,
            f"has {len(fields)} fields, must have {len(COLUMNS)} with tabs between: "
            + ", ".join(COLUMNS),
        )
    session, query = fields[0].strip(), fields[1].strip()
    if not session or not query:
        raise InvalidRequest.of(at, "has no session or no query")
    documents = [str(one) for one in _list(at, "documents", fields[2])]
    clicks = _list(at, "clicks", fields[4])
    if len(clicks) != len(documents):
        raise InvalidRequest.of(
            at, f"has {len(documents)} documents and {len(clicks)} clicks; give one of each"
        )
    check_documents(at, documents)
    wrong = [one for one in clicks if one not in (0, 1)]
    if wrong:
        raise InvalidRequest.of(at, f"has a click {wrong[0]!r}, must be 0 or 1 for each document")
    clicked = tuple(LoggedClick(rank) for rank, one in enumerate(clicks) if one == 1)
    return LoggedPage(session, query, tuple(documents), clicked, ordered=False)


def _list(at: str, name: str, text: str) -> list[object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRequest.of(at, f"{name} are no list: {error}") from error
    if not isinstance(value, list):
        raise InvalidRequest.of(at, f"{name} are {text[:40]}, must be a list in brackets")
    return value
