"""The log's clicks as what rankers learn from: single ones, and lists graded by them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ranklift.events.files import EventFiles
from ranklift.events.frames import EventFrames, read_events
from ranklift.rankers.base import ClickedText, Text
from ranklift.rankers.data.judged import Judged
from ranklift.retrain.dataset import QueryLog, is_held_out, retrain_data
from ranklift.v1.errors import NotReady

EVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def logged_clicks(home: Path, files: EventFiles | None = None) -> list[ClickedText]:
    """Return every click of an installation's log whose document's text is known.

    `files` is where the log's files lie, if not under the home.

    Raises:
        NotReady: there is none.
    """
    clicks = clicked_texts(read_events(home, files))
    if not clicks:
        raise NotReady.of("home", f'the log under "{home}" holds no clicks; serve some traffic')
    return clicks


def clicked_texts(events: EventFrames) -> list[ClickedText]:
    """Return the clicks with query and document, in the order of their ids."""
    texts = events.documents.sort("document_id", "digest").unique(
        "document_id", keep="first", maintain_order=True
    )
    clicked = (
        events.clicks.join(events.pages.select("impression_id", "query"), on="impression_id")
        .join(texts, on="document_id")
        .sort("event_id")
        .select("query", "document_id", "title", "text")
        .collect()
    )
    return [
        ClickedText(query, Text(document_id, title, text))
        for query, document_id, title, text in clicked.iter_rows()
    ]


def logged_lists(
    home: Path, files: EventFiles | None = None, held_out: bool | None = None
) -> Judged:
    """Return the queries of an installation's whole log with their documents, graded by clicks.

    `held_out` true keeps the queries that retraining holds out, false the others, None both.
    `files` is as in `logged_clicks`.

    Raises:
        NotReady: there is none.
    """
    data = retrain_data(read_events(home, files), *EVER)
    chosen = [
        each
        for each in (*data.train, *data.held_out)
        if held_out in {None, is_held_out(each.query)}
    ]
    if not chosen:
        raise NotReady.of(
            "home", f'the log under "{home}" holds no such query with two documents; serve traffic'
        )
    return judged_by_clicks(chosen)


def judged_by_clicks(queries: Iterable[QueryLog]) -> Judged:
    """Return logged queries with their documents as candidates, graded by `click_grades`."""
    chosen = {each.query: each for each in queries}
    return Judged(
        {query: query for query in chosen},
        {
            d.document_id: Text(d.document_id, d.title, d.text)
            for each in chosen.values()
            for d in each.documents
        },
        {
            query: {
                d.document_id: int(grade)
                for d, grade in zip(each.documents, click_grades(each), strict=True)
            }
            for query, each in chosen.items()
        },
        {
            query: tuple(sorted(d.document_id for d in each.documents))
            for query, each in chosen.items()
        },
    )


def click_grades(query: QueryLog) -> list[float]:
    """Return 1 for documents clicked more than the query's mean, position bias removed, else 0."""
    mean = statistics.fmean(document.click_rate for document in query.documents)
    return [float(d.clicks > 0 and d.click_rate > mean) for d in query.documents]
