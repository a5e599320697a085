"""Pages to record, the log to record them in, and the frames that come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ranklift.events.frames import read_events
from ranklift.events.values import Page, PageAssignment

MakePage = Callable[..., Page]
ReadAll = Callable[[Path], dict[str, pl.DataFrame]]

PAGE = Page(
    impression_id="p1",
    page_time=datetime(2025, 3, 1, 12, 30, 15, 123_456, tzinfo=UTC),
    user_id="u1",
    session_id="s1",
    query="wing flutter",
    documents=("d1", "d2", "d3"),
    scores=(2.5, 0.25, -1.0),
    model="student",
    version="3",
    digest="sha256:00",
    assignments=(PageAssignment("bm25-vs-student", 2, "default", "student", "u1", 4_711),),
    fallback_reason="",
    latency_ms=12.5,
)


@pytest.fixture
def make_page() -> MakePage:
    """A page with the documents d1, d2, d3, and whatever a test wants to be different."""

    def make(impression_id: str = "p1", **changes: Any) -> Page:
        return replace(PAGE, impression_id=impression_id, **changes)

    return make


@pytest.fixture
def read_all() -> ReadAll:
    """All four frames of a home, collected."""

    def read(home: Path) -> dict[str, pl.DataFrame]:
        frames = read_events(home)
        return {
            "pages": frames.pages.collect(),
            "clicks": frames.clicks.collect(),
            "dwells": frames.dwells.collect(),
            "documents": frames.documents.collect(),
        }

    return read
