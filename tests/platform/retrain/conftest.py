"""A log by hand, and a registry with a student, a teacher and a schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ranklift.events.frames import EventFrames
from ranklift.events.rows import SCHEMAS
from ranklift.store.registry import Registry, open_registry
from ranklift.store.values import Lineage, ModelRef, ModelVersion, Schedule

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)  # a Friday

MakeLog = Callable[..., EventFrames]


@pytest.fixture
def make_log() -> MakeLog:
    """Makes the frames of pages, each (query, documents shown, documents clicked)."""

    def make(
        pages: Sequence[tuple[str, Sequence[str], Sequence[str]]],
        *,
        texts: Mapping[str, str] | None = None,
        fallbacks: Sequence[int] = (),
        every: timedelta = timedelta(minutes=1),
    ) -> EventFrames:
        shown = sorted({d for _, documents, _ in pages for d in documents})
        known = {d: f"text of {d}" for d in shown} if texts is None else texts
        page_rows = [
            {
                "impression_id": f"p{i}",
                "page_time": NOON - i * every,
                "user_id": "u",
                "session_id": "s",
                "query": query,
                "documents": list(documents),
                "scores": [0.0] * len(documents),
                "model": "m",
                "version": "1",
                "digest": "",
                "assignments": [],
                "fallback_reason": "unavailable" if i in fallbacks else "",
                "latency_ms": 1.0,
            }
            for i, (query, documents, _) in enumerate(pages)
        ]
        click_rows = [
            {
                "event_id": f"p{i}-c{k}",
                "impression_id": f"p{i}",
                "document_id": document,
                "position": list(documents).index(document) + 1,
                "click_time": NOON,
            }
            for i, (_, documents, clicked) in enumerate(pages)
            for k, document in enumerate(clicked)
        ]
        document_rows = [
            {"document_id": d, "digest": "0", "title": d.upper(), "text": text}
            for d, text in known.items()
        ]
        return EventFrames(
            pages=pl.LazyFrame(page_rows, schema=SCHEMAS["pages"]),
            clicks=pl.LazyFrame(click_rows, schema=SCHEMAS["clicks"]),
            dwells=pl.LazyFrame([], schema=SCHEMAS["dwells"]),
            documents=pl.LazyFrame(document_rows, schema=SCHEMAS["documents"]),
        )

    return make


@pytest.fixture
def filled(registry_url: str) -> Iterator[Registry]:
    """A registry that knows a teacher, a student that is the champion, and a schedule."""
    registry = open_registry(registry_url)
    for model, kind in (("teacher", "decoder"), ("student", "encoder")):
        registry.models.register(
            ModelVersion(
                ref=ModelRef(model, "1"),
                kind=kind,
                digest="sha256:" + "0" * 64,
                numerics="fp32",
                uri=f"models/{model}/1",
                lineage=Lineage("sft"),
                created=NOON - timedelta(days=365),
            )
        )
    registry.models.set_champion(ModelRef("student", "1"), actor="ann", reason="the first")
    registry.schedules.put(
        Schedule("nightly", "student", "teacher", cron="0 3 * * *", min_clicked_pages=3)
    )
    yield registry
    registry.close()
