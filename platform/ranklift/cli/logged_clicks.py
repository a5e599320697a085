"""The log's clicks as what continued pre-training learns from."""

from __future__ import annotations

from pathlib import Path

from ranklift.events.files import EventFiles
from ranklift.events.frames import EventFrames, read_events
from ranklift.rankers.base import ClickedText, Text
from ranklift.v1.errors import NotReady


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
